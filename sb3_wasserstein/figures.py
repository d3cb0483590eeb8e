"""Figures. matplotlib (extra ``figures``) is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_grid_paths(
    heights: ArrayLike, paths: Mapping[str, Sequence[ArrayLike]], reference: ArrayLike | None = None
) -> Figure:
    """
    Paths over a height map, one panel a policy.

    :param heights: (rows, columns)
    :param paths: of each policy, several sequences of cell numbers (row · columns + column)
    :param reference: a path that is drawn dashed in every panel
    :return: the figure
    :raises ImportError: without matplotlib; the message names the extra
    """
    figure_class = _matplotlib_figure()
    heights = np.asarray(heights)
    figure = figure_class(figsize=(4.2 * len(paths) + 0.6, 3.6), layout="constrained")
    panels = figure.subplots(1, len(paths), squeeze=False)[0]
    jitter = np.random.default_rng(0)
    image: Any = None
    for panel, (name, walks) in zip(panels, paths.items(), strict=True):
        image = panel.imshow(heights, cmap="Greys", vmin=0, vmax=max(1, int(heights.max())), alpha=0.6)
        for index, cells in enumerate(walks):
            rows, columns = np.divmod(np.asarray(cells), heights.shape[1])
            shift = jitter.normal(0.0, 0.07, 2)
            label = "episodes, × marks their end" if index == 0 else None
            panel.plot(columns + shift[0], rows + shift[1], color="tab:red", alpha=0.4, linewidth=1.2, label=label)
            panel.plot(columns[-1] + shift[0], rows[-1] + shift[1], "x", color="tab:red", markersize=5)
        if reference is not None:
            rows, columns = np.divmod(np.asarray(reference), heights.shape[1])
            panel.plot(columns, rows, "--", color="tab:blue", linewidth=2.0, label="target: the cheapest path")
        panel.set_title(name)
        panel.set_xticks([])
        panel.set_yticks([])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.colorbar(image, ax=list(panels), label="height", shrink=0.8)
    return figure


def _matplotlib_figure() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "sb3-wasserstein[figures]"') from error
    return Figure
