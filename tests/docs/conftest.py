import os

# No window system is asked for.
os.environ["MPLBACKEND"] = "Agg"
