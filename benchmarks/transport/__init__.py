"""The duals against other solvers: accuracy, time, memory."""
