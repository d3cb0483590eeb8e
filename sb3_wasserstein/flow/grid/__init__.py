"""States on a regular grid: B-spline weights of its nodes, and the Markov chain that a policy makes of them."""
