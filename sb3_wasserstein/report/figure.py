"""The figure of a comparison: two clouds, the coupling between them, histograms of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sb3_wasserstein.duals import SinkhornDual
from sb3_wasserstein.figures import matplotlib_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("tab:blue", "tab:orange")


def plot_two_clouds(clouds: Mapping[str, NDArray[np.float64]], features: Mapping[int, str], most_points: int = 200) -> Figure:
    """
    :param clouds: two samples (n, dim), by name
    :param features: the features that get a histogram, each with its title
    :param most_points: points of each cloud that are coupled and drawn; larger clouds are thinned at a fixed stride
    :return: the figure
    :raises ImportError: without matplotlib; the message names the extra
    """
    rows = -(-len(features) // 2)
    figure = matplotlib_figure()(figsize=(11.0, 4.2 + 2.4 * rows), layout="constrained")
    top, below = np.asarray(figure.subfigures(2, 1, height_ratios=[4.2, 2.4 * rows]))
    clouds_panel, coupling_panel = top.subplots(1, 2)
    thinned = [points[:: -(-len(points) // most_points)] for points in clouds.values()]
    planes, axes = _planes(thinned)
    for panel in (clouds_panel, coupling_panel):
        for plane, name, colour in zip(planes, clouds, COLOURS, strict=True):
            panel.scatter(plane[:, 0], plane[:, 1], s=14, color=colour, alpha=0.6, label=name, zorder=2)
        panel.set_xlabel(axes[0])
        panel.set_ylabel(axes[1])
    clouds_panel.set_title("episodes in the plane")
    clouds_panel.legend()
    coupling_panel.set_title("where each episode would have to go")
    _draw_coupling(coupling_panel, thinned, planes)
    panels = below.subplots(rows, 2, squeeze=False).ravel()
    for panel, (feature, title) in zip(panels, features.items(), strict=False):
        values = [points[:, feature] for points in clouds.values()]
        bins = np.histogram_bin_edges(np.concatenate(values), bins=30)
        for value, name, colour in zip(values, clouds, COLOURS, strict=True):
            panel.hist(value, bins=bins, density=True, alpha=0.5, color=colour, label=name)
        panel.set_title(title, fontsize=10)
    for panel in panels[len(features) :]:
        panel.set_visible(False)
    return figure


def _planes(clouds: list[NDArray[np.float64]]) -> tuple[list[NDArray[np.float64]], tuple[str, str]]:
    """Both clouds in the plane of their first two principal components, and what the axes are."""
    pooled = np.concatenate(clouds)
    spread = pooled.std(axis=0)
    centred = [(cloud - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1.0) for cloud in clouds]
    if pooled.shape[1] <= 2:
        flat = [np.column_stack([cloud, np.zeros(len(cloud))])[:, :2] for cloud in clouds]
        return flat, ("feature 0", "feature 1" if pooled.shape[1] == 2 else "")
    _, sizes, directions = np.linalg.svd(np.concatenate(centred), full_matrices=False)
    shares = 100 * sizes**2 / max(float((sizes**2).sum()), 1e-300)
    names = (f"first component ({shares[0]:.0f} % of the variance)", f"second component ({shares[1]:.0f} %)")
    return [cloud @ directions[:2].T for cloud in centred], names


def _draw_coupling(panel: Axes, clouds: list[NDArray[np.float64]], planes: list[NDArray[np.float64]]) -> None:
    """A line from each episode of the first behaviour to the one of the second that gets most of its mass."""
    spread = np.concatenate(clouds).std(axis=0)
    scaled = [cloud / np.where(spread > 0, spread, 1.0) for cloud in clouds]
    dual = SinkhornDual(debias=False)
    dual.update(*scaled)
    partner = dual.coupling().argmax(axis=1)
    for start, end in zip(planes[0], planes[1][partner], strict=True):
        panel.plot([start[0], end[0]], [start[1], end[1]], color="0.6", linewidth=0.6, zorder=1)
