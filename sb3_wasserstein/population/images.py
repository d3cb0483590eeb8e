"""What a population looks like: the matrix of its distances, its clouds, and the potential that each member feels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sb3_wasserstein.cloud import Floats
from sb3_wasserstein.population.exchange import Exchange, Turn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: points along each side of a potential's image
RESOLUTION = 48


def images(exchange: Exchange, turns: dict[int, Turn]) -> dict[str, Figure]:
    """
    :param exchange: after a round
    :param turns: what the members got in it
    :return: figures by name. Clouds and potentials are shown on the plane of the clouds' two main directions
    """
    clouds = {k: cloud for k, cloud in exchange.pairwise.clouds.items() if k < exchange.n_policies}
    if len(clouds) < 2:
        return {}
    made = {"distances": _matrix(exchange.distances)}
    pooled = np.concatenate(list(clouds.values()))
    centre = pooled.mean(axis=0)
    directions = np.linalg.svd(pooled - centre, full_matrices=False)[2][:2]
    if len(directions) < 2:
        return made
    flat = {k: (cloud - centre) @ directions.T for k, cloud in clouds.items()}
    made["embeddings"] = _clouds(flat)
    unit = 1.0 if exchange.feature_scale is None else exchange.feature_scale
    for k, turn in turns.items():
        if turn.potential is not None:
            x, y = (np.linspace(*_span(flat, axis), RESOLUTION) for axis in (0, 1))
            plane = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
            values = turn.potential((centre + plane @ directions) * unit).reshape(RESOLUTION, RESOLUTION)
            made[f"potential_{k}"] = _potential(x, y, values, flat, k)
    return made


def _span(flat: dict[int, Floats], axis: int) -> tuple[float, float]:
    values = np.concatenate([cloud[:, axis] for cloud in flat.values()])
    margin = 0.15 * (np.ptp(values) or 1.0)
    return float(values.min() - margin), float(values.max() + margin)


def _figure() -> Figure:
    # Not pyplot: a figure of its own needs no window system, and nobody has to close it.
    from matplotlib.figure import Figure

    return Figure(figsize=(4.5, 4.0), layout="constrained")


def _matrix(distances: Floats) -> Figure:
    figure = _figure()
    axes = figure.add_subplot(xlabel="member", ylabel="member", title="distance between behaviours")
    axes.set_xticks(range(len(distances)))
    axes.set_yticks(range(len(distances)))
    figure.colorbar(axes.imshow(distances, cmap="viridis"))
    return figure


def _clouds(flat: dict[int, Floats]) -> Figure:
    figure = _figure()
    axes = figure.add_subplot(xlabel="first direction", ylabel="second direction", title="embeddings")
    for k, cloud in flat.items():
        axes.scatter(cloud[:, 0], cloud[:, 1], s=6, label=f"{k}", color=f"C{k % 10}")
    axes.legend(title="member", fontsize="small")
    return figure


def _potential(x: Floats, y: Floats, values: Floats, flat: dict[int, Floats], member: int) -> Figure:
    figure = _figure()
    axes = figure.add_subplot(xlabel="first direction", ylabel="second direction", title=f"potential of member {member}")
    figure.colorbar(axes.contourf(x, y, values, levels=20, cmap="RdBu_r"))
    for k, cloud in flat.items():
        axes.scatter(
            cloud[:, 0], cloud[:, 1], s=4, color="black" if k == member else "white", edgecolors="black", linewidths=0.3
        )
    return figure
