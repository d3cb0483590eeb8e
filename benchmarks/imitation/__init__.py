"""Learning from states alone, without a reward."""
