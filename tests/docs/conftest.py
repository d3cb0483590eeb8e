import matplotlib

# No window system is asked for.
matplotlib.use("Agg")
