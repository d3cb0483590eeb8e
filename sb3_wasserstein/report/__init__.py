"""A comparison of two behaviours as a figure and as one self-contained page."""

from sb3_wasserstein.report.figure import plot_two_clouds as plot_two_clouds
from sb3_wasserstein.report.page import write_page as write_page
