"""A comparison of two behaviours as a figure and as one self-contained page."""

from sb3_wasserstein.report.figure import plot_comparison as plot_comparison
from sb3_wasserstein.report.page import write_report as write_report

__all__ = ["plot_comparison", "write_report"]
