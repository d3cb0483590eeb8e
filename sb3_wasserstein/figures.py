"""Figures. matplotlib (extra ``figures``) is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_wasserstein._validation import check_array, check_callable, check_count
from sb3_wasserstein.duals import SinkhornDual

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

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.figures import plot_grid_paths
        >>> len(plot_grid_paths(np.zeros((2, 3)), {"PPO": [[3, 0, 1, 2]]}, reference=[3, 4, 5, 2]).axes)
        2
    """
    figure_class = matplotlib_figure()
    heights = check_array("heights", heights)
    if heights.ndim != 2 or not heights.size:
        raise ValueError(f"heights must be (rows, columns); got shape {heights.shape}")
    _check_panels("paths", paths)
    walks_of = {}
    for name, walks in paths.items():
        if not isinstance(walks, Iterable):
            raise TypeError(f"paths[{name!r}] must be a list of walks; got {walks!r}")
        walks_of[name] = [_walk(f"paths[{name!r}]", cells, heights.size) for cells in walks]
    dashed = None if reference is None else _walk("reference", reference, heights.size)
    figure = figure_class(figsize=(4.2 * len(paths) + 0.6, 3.6), layout="constrained")
    panels = figure.subplots(1, len(paths), squeeze=False)[0]
    jitter = np.random.default_rng(0)
    image: Any = None
    for panel, (name, walks) in zip(panels, walks_of.items(), strict=True):
        image = panel.imshow(heights, cmap="Greys", vmin=0, vmax=max(1, int(heights.max())), alpha=0.6)
        for index, cells in enumerate(walks):
            rows, columns = np.divmod(cells, heights.shape[1])
            shift = jitter.normal(0.0, 0.07, 2)
            label = "episodes, × marks their end" if index == 0 else None
            panel.plot(columns + shift[0], rows + shift[1], color="tab:red", alpha=0.4, linewidth=1.2, label=label)
            panel.plot(columns[-1] + shift[0], rows[-1] + shift[1], "x", color="tab:red", markersize=5)
        if dashed is not None:
            rows, columns = np.divmod(dashed, heights.shape[1])
            panel.plot(columns, rows, "--", color="tab:blue", linewidth=2.0, label="target: the cheapest path")
        panel.set_title(name)
        panel.set_xticks([])
        panel.set_yticks([])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.colorbar(image, ax=list(panels), label="height", shrink=0.8)
    return figure


def plot_behaviour(cloud: ArrayLike, target: ArrayLike, potential: Callable[[Any], Any] | None = None) -> Figure:
    """
    A behaviour and its target in the embedding space, over the potential: where it is high, λ > 0 drives a policy to and
    λ < 0 away from. More than two dimensions are cut by the plane of the two largest principal components.

    :param cloud: (n, dim) embeddings of episodes
    :param target: (m, dim) points of the target
    :param potential: h, (k, dim) -> (k,), or None for the points alone
    :return: the figure
    :raises ImportError: without matplotlib; the message names the extra

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.figures import plot_behaviour
        >>> cloud = np.random.default_rng(0).normal(size=(50, 2))
        >>> len(plot_behaviour(cloud, [[2.0, 0.0]], lambda points: points[:, 0]).axes)
        2
    """
    figure = matplotlib_figure()(figsize=(5.6, 4.4), layout="constrained")
    panel = figure.subplots()
    cloud = _points("cloud", cloud)
    target = _points("target", target, cloud.shape[1])
    if potential is not None:
        check_callable("potential", potential, "(points,)")
    pooled = np.concatenate([cloud, target])
    centre, axes, names = _plane(pooled)
    flat, flat_target = (cloud - centre) @ axes.T, (target - centre) @ axes.T
    low, high = ((pooled - centre) @ axes.T).min(axis=0), ((pooled - centre) @ axes.T).max(axis=0)
    margin = np.maximum(0.1 * (high - low), 1e-9)
    low, high = low - margin, high + margin
    if len(axes) == 1:
        heights = np.zeros(len(flat)), np.zeros(len(flat_target))
        if potential is not None:
            line = np.linspace(low[0], high[0], 200)
            panel.plot(line + centre[0], potential(line[:, None] * axes[0] + centre), color="0.4", label="potential")
            heights = potential(cloud), potential(target)
        panel.scatter(flat[:, 0] + centre[0], heights[0], s=12, color="tab:red", label="episodes")
        panel.scatter(
            flat_target[:, 0] + centre[0], heights[1], s=60, color="tab:orange", marker="X", edgecolors="black", label="target"
        )
    else:
        if potential is not None:
            grid = np.stack(np.meshgrid(*(np.linspace(low[i], high[i], 60) for i in range(2)), indexing="xy"), axis=-1)
            values = np.asarray(potential(grid.reshape(-1, 2) @ axes + centre)).reshape(60, 60)
            shift = centre @ axes.T if len(centre) == 2 else np.zeros(2)
            extent = (low[0] + shift[0], high[0] + shift[0], low[1] + shift[1], high[1] + shift[1])
            image = panel.imshow(values, extent=extent, origin="lower", aspect="auto", cmap="viridis", alpha=0.7)
            figure.colorbar(image, ax=panel, label="potential")
            flat, flat_target = flat + shift, flat_target + shift
        panel.scatter(flat[:, 0], flat[:, 1], s=12, color="tab:red", edgecolors="white", linewidths=0.3, label="episodes")
        panel.scatter(
            flat_target[:, 0], flat_target[:, 1], s=90, color="tab:orange", marker="X", edgecolors="black", label="target"
        )
        panel.set_ylabel(names[1])
    panel.set_xlabel(names[0])
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def plot_parting(rounds: Mapping[str, tuple[ArrayLike, ArrayLike]], goals: ArrayLike) -> Figure:
    """
    How two policies part in a plane: their paths, over the difference of what each gains where.

    :param rounds: title: the paths of the first and of the second policy, (episodes, T, 2) each
    :param goals: (k, 2) positions
    :return: the figure, one panel a round
    :raises ImportError: without matplotlib; the message names the extra

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.figures import plot_parting
        >>> left, right = np.linspace([0.0, 0.0], [-1.0, 1.0], 16)[None], np.linspace([0.0, 0.0], [1.0, 1.0], 16)[None]
        >>> len(plot_parting({"at the end": (left, right)}, goals=[(-1.0, 1.0), (1.0, 1.0)]).axes)
        2
    """
    _check_panels("rounds", rounds)
    stars = _points("goals", goals, 2)
    figure = matplotlib_figure()(figsize=(2.9 * len(rounds) + 0.7, 2.9), layout="constrained")
    panels = figure.subplots(1, len(rounds), squeeze=False, sharex=True, sharey=True)[0]
    axis = np.linspace(-1.6, 1.6, 81)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1)
    image: Any = None
    for panel, (title, paths) in zip(panels, rounds.items(), strict=True):
        if not isinstance(paths, Sequence) or len(paths) != 2:
            raise ValueError(f"rounds[{title!r}] must be the paths of two policies; got {paths!r}")
        first, second = (check_array(f"rounds[{title!r}]", path) for path in paths)
        dual = SinkhornDual()
        dual.update(*(path.reshape(-1, 2)[:: max(1, path.size // 1024)] for path in (first, second)))
        pull = (dual.potential(plane.reshape(-1, 2)) - dual.potential_y(plane.reshape(-1, 2))).reshape(81, 81)
        # In its own unit: what is to be seen is the direction.
        image = panel.pcolormesh(axis, axis, pull / np.abs(pull).max(), cmap="RdBu", vmin=-1.3, vmax=1.3, shading="auto")
        for path, colour, name in ((first, "#0b3c6f", "policy 1"), (second, "#7f0d1d", "policy 2")):
            for number, episode in enumerate(path[-24:]):
                panel.plot(*episode.T, color=colour, lw=0.8, alpha=0.6, label=name if number == 0 else None)
        panel.scatter(*stars.T, marker="*", s=140, color="gold", edgecolor="black", zorder=3, label="goals")
        panel.set(title=title, aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.0, 1.6), xticks=[], yticks=[])
    legend = figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    for line in legend.get_lines():
        line.set(linewidth=2.5, alpha=1.0)
    bar = figure.colorbar(image, ax=list(panels), shrink=0.75, pad=0.01, ticks=[-1, 1], drawedges=False)
    bar.ax.set_yticklabels(["draws\npolicy 2", "draws\npolicy 1"])
    return figure


def plot_plane(
    panels: Mapping[str, ArrayLike], cells: Sequence[int], low: Any, high: Any, axes: tuple[str, str] = ("x", "y")
) -> Figure:
    """
    Functions on a two-dimensional grid of states, side by side.

    :param panels: title: (cells[0] · cells[1],) values at the nodes, the second axis running fastest
    :param cells: number of nodes along each axis
    :param low: (2,) the grid's corner
    :param high: (2,) the opposite one
    :param axes: their names
    :return: the figure
    :raises ImportError: without matplotlib; the message names the extra

    Example:
        >>> import numpy as np
        >>> from sb3_wasserstein.figures import plot_plane
        >>> len(plot_plane({"value": np.arange(6.0)}, cells=(2, 3), low=(0.0, 0.0), high=(1.0, 1.0)).axes)
        2
    """
    _check_panels("panels", panels)
    _pair("cells", cells)
    rows, columns = (check_count("cells", number) for number in cells)
    (left, bottom), (right, top) = _pair("low", low), _pair("high", high)
    if not isinstance(axes, Sequence) or len(axes) != 2:
        raise ValueError(f"axes must be the names of two axes; got {axes!r}")
    figure = matplotlib_figure()(figsize=(4.4 * len(panels), 3.4), layout="constrained")
    for panel, (title, values) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        nodes = check_array(f"panels[{title!r}]", values)
        if nodes.size != rows * columns:
            raise ValueError(f"panels[{title!r}] must have {rows} x {columns} values, one for each node; got {nodes.size}")
        extent = (left, right, bottom, top)
        image = panel.imshow(nodes.reshape(rows, columns).T, origin="lower", aspect="auto", extent=extent)
        panel.set(title=title, xlabel=axes[0], ylabel=axes[1])
        figure.colorbar(image, ax=panel)
    return figure


def _check_panels(name: str, value: Any) -> None:
    """
    :raises TypeError: if it is no dict
    :raises ValueError: if it is an empty one
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of the panels, by title; got {value!r}")
    if not value:
        raise ValueError(f"{name} is empty: it needs at least one panel; got {value!r}")


def _points(name: str, value: ArrayLike, dim: int | None = None) -> NDArray[np.float64]:
    """Points (n, dim), at least one."""
    points = check_array(name, value)
    if points.ndim != 2 or not points.size or dim not in (None, points.shape[1]):
        raise ValueError(f"{name} must be (n, {'dim' if dim is None else dim}) with n, dim >= 1; got shape {points.shape}")
    return points


def _pair(name: str, value: ArrayLike) -> tuple[float, float]:
    """Two numbers."""
    pair = check_array(name, value)
    if pair.shape != (2,):
        raise ValueError(f"{name} must be two numbers; got {value!r}")
    return float(pair[0]), float(pair[1])


def _walk(name: str, cells: ArrayLike, n_cells: int) -> NDArray[np.int64]:
    """Cell numbers, in the grid."""
    walk = check_array(name, cells)
    if walk.ndim != 1 or not walk.size or walk.min() < 0 or walk.max() >= n_cells:
        raise ValueError(f"{name} must be cell numbers from 0 to {n_cells - 1}, at least one; got {cells!r}")
    return walk.astype(np.int64)


def _plane(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, str]]:
    """Where points of any dimension are looked at: the centre, one or two orthonormal axes, and their names."""
    dim = points.shape[1]
    if dim <= 2:
        return points.mean(axis=0), np.eye(dim), ("first entry of the embedding", "second entry")
    centre = points.mean(axis=0)
    axes = np.linalg.svd(points - centre, full_matrices=False)[2][:2]
    # A cloud of two points spans one direction only.
    if len(axes) < 2:
        axes = np.linalg.qr(np.concatenate([axes, np.eye(dim)[:1]]).T)[0].T[:2]
    return centre, axes, ("first principal component", "second principal component")


def matplotlib_figure() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "sb3-wasserstein[figures]"') from error
    return Figure
