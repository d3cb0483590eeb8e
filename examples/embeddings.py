"""What is near to what: four walks on a grid, under several embeddings and two ground costs. Trains nothing."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sb3_wasserstein import Target, behaviour_distance
from sb3_wasserstein.embeddings import FinalState, MeanState, VisitHistogram
from sb3_wasserstein.embeddings import Path as PathEmbedding

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--figure", type=Path, default=Path("runs/embeddings.png"))
args = parser.parse_args()

up, right = np.array([0.0, 1.0]), np.array([1.0, 0.0])
WALKS = {
    "up, then right": np.cumsum([up * 0, *[up] * 7, *[right] * 7], axis=0),
    "a cell beside it": np.cumsum([up * 0, right, *[up] * 6, *[right] * 6, up], axis=0),
    "right, then up": np.cumsum([up * 0, *[right] * 7, *[up] * 7], axis=0),
    "stays": np.zeros((15, 2)),
}
GRID = {"low": [0.0, 0.0], "high": [8.0, 8.0], "bins": 8}
MEASURES = {
    "final state": (FinalState(), "euclidean"),
    "mean state": (MeanState(), "euclidean"),
    "path": (PathEmbedding(n_points=8), "euclidean"),
    "visits": (VisitHistogram(**GRID), "euclidean"),
    "visits, L1": (VisitHistogram(**GRID), "cityblock"),
    "visits, blurred": (VisitHistogram(**GRID, smoothing=1.0), "euclidean"),
}

figure, axes = plt.subplots(1, len(MEASURES) + 1, figsize=(3 * len(MEASURES) + 3, 2.9), layout="constrained")
for name, walk in WALKS.items():
    axes[0].plot(*(walk + 0.5).T, "o-", ms=3, label=name)
axes[0].legend(fontsize="x-small")
print(f"distance to {next(iter(WALKS))!r}, in units of the largest:")
for axis, (name, (embedding, cost)) in zip(axes[1:], MEASURES.items(), strict=True):
    laws = [Target.from_trajectories([walk], embedding) for walk in WALKS.values()]
    matrix = np.array([[behaviour_distance(one, other, cost=cost) for other in laws] for one in laws])
    matrix = matrix / matrix.max()
    print(f"  {name:17}", "  ".join(f"{walk} {d:.2f}" for walk, d in list(zip(WALKS, matrix[0], strict=True))[1:]))
    axis.imshow(matrix, vmin=0, vmax=1)
    axis.set(title=name, xticks=[], yticks=[])
args.figure.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(args.figure, dpi=110)
print(f"wrote {args.figure}")
