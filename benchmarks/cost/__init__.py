"""What regularisation, long trainings and populations cost."""
