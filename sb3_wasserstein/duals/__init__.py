"""How far apart two behaviours are, and in which direction: the duals of entropic optimal transport."""
