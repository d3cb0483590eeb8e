"""
S1 §4.2, repulsion in the plane: K policies that should each reach a goal of their own.

    python benchmarks/repulsion.py --learner pg                  # the paper's learner, 20 seeds a layout; resumes from the CSV
    python benchmarks/repulsion.py --learner pg --mapping path   # whole paths instead of the positions on them
    python benchmarks/repulsion.py --learner discriminator       # a peer: DIAYN's bonus; or entropy: an entropy bonus
    python benchmarks/repulsion.py --figure                      # potentials and paths of one run, docs/figures/repulsion.png
    python benchmarks/repulsion.py --table                       # the table of what the CSV holds, and its verdict

"full": every policy reaches a goal and all are different (behind the wall: every policy gets there, on sides of their own).
All seeds of all layouts run side by side; λ > 0 against λ = 0. Rows that are there already are not run again.
K independent seeds are the rows of λ = 0.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch as th
from repulsion_pg import Settings, train
from repulsion_plane import LAYOUTS

FIELDS = ["learner", "layout", "coef", "seed", "full", "goals", "returns", "mean_return", "cpu_s", "commit"]
#: the share of seeds that have to be full
ASKED = {"two": 0.95, "three": 0.95, "four": 0.9, "unequal": 0.9, "wall": 0.9}
#: one goal with two routes wants a strong push that ends early, and none past a distance
SETTINGS: dict[str, dict[str, float]] = {"wall": {"coef": 15.0, "release": 2.6, "hold": 0.2, "end": 0.5}}
#: the best of two and three coefficients, on other seeds
PEERS = {
    "discriminator": Settings(mapping="discriminator", coef=20.0),
    "entropy": Settings(coef=0.0, entropy=0.1),
}
#: seeds that train side by side
TOGETHER = 5


def done(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def append(path: Path, rows: list[dict[str, str]]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerows(rows)


def table(rows: list[dict[str, str]]) -> bool:
    """Print how many populations are full; whether every line holds."""
    groups: dict[tuple[str, str, float], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["learner"], row["layout"], float(row["coef"])), []).append(row)
    holds = True
    print(f"{'learner':14} {'layout':9} {'λ':>4} {'full':>7} {'mean return':>12} {'against λ = 0':>14} {'CPU s':>6}")
    for (learner, layout, coef), group in sorted(groups.items()):
        full, n = sum(row["full"] == "True" for row in group), len(group)
        mean, cpu = (float(np.mean([float(row[name]) for row in group])) for name in ("mean_return", "cpu_s"))
        plain = [float(row["mean_return"]) for row in groups.get((learner, layout, 0.0), [])]
        change = 100 * float((mean - np.mean(plain)) / abs(np.mean(plain))) if plain and coef else 0.0
        verdict = ""
        if coef and learner not in PEERS:
            equal = layout in LAYOUTS and LAYOUTS[layout].equal
            good = full >= ASKED.get(layout, 0.85) * n and not (equal and change < -3)
            verdict = "holds" if good else "MISSES"
            holds &= good
        print(f"{learner:14} {layout:9} {coef:4} {f'{full}/{n}':>7} {mean:12.2f} {change:13.1f}% {cpu:6.1f} {verdict}")
    return holds


def settings_of(learner: str, layout: str, repelled: bool, quick: bool) -> Settings:
    if learner in PEERS:
        settings = PEERS[learner]
    else:
        settings = replace(Settings(mapping=learner.split()[1]), **SETTINGS.get(layout, {}))
        settings = settings if repelled else replace(settings, coef=0.0)
    return replace(settings, iterations=4, rollouts=20) if quick else settings


def figure(path: Path, seed: int) -> None:
    """As the paper's Figure 3: the potentials and the paths at iterations 0, 15, 30, 60, 100."""
    import matplotlib.pyplot as plt

    iterations = (0, 15, 30, 60, 100)
    settings = Settings(coef=1.0, points=200, snapshots=iterations)
    result = train([LAYOUTS["two"]], seed, settings)[0]
    side = np.linspace(-1.6, 1.6, 65)
    fig, axes = plt.subplots(2, len(iterations), figsize=(12.5, 4.0), sharex=True, sharey=True, layout="constrained")
    for column, iteration in enumerate(iterations):
        for member in range(2):
            axis = axes[member, column]
            image = result["potentials"][column][member].reshape(65, 65)
            shown = axis.pcolormesh(side, side, image.T, cmap="RdBu_r", vmin=-np.abs(image).max(), vmax=np.abs(image).max())
            for episode in result["snapshots"][column][member][:, :20].transpose(1, 0, 2):
                axis.plot(*episode.T, color="black", lw=0.6, alpha=0.5)
            axis.scatter(*np.array(LAYOUTS["two"].goals).T, marker="*", s=90, color="gold", edgecolor="black", zorder=3)
            axis.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.0, 1.6), title=f"iteration {iteration}" if member == 0 else "")
            fig.colorbar(shown, ax=axis, shrink=0.8, label="potential h" if column == len(iterations) - 1 else "")
    for member in range(2):
        axes[member, 0].set_ylabel(f"policy {member + 1}")
    path.parent.mkdir(exist_ok=True)
    fig.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learner", choices=["pg", *PEERS], default="pg")
    parser.add_argument("--mapping", choices=["occupancy", "path"], default="occupancy")
    parser.add_argument("--layouts", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "repulsion.csv")
    parser.add_argument("--table", action="store_true", help="print the table of the CSV and stop")
    parser.add_argument("--figure", action="store_true", help="draw the figure of seed 0 and stop")
    parser.add_argument("--quick", action="store_true", help="one short run of each, nothing kept")
    args = parser.parse_args()
    th.set_num_threads(1)
    if args.table:
        return 0 if table(done(args.out)) else 1
    if args.figure:
        figure(Path(__file__).parents[1] / "docs" / "figures" / "repulsion.png", 0)
        return 0
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    learner = f"pg {args.mapping}" if args.learner == "pg" else args.learner
    rows = [] if args.quick else done(args.out)
    finished = {tuple(row[field] for field in FIELDS[:4]) for row in rows}
    # Layouts of the same settings train together.
    groups = [
        group
        for group in ([x for x in args.layouts if x not in SETTINGS], *([x] for x in args.layouts if x in SETTINGS))
        if group
    ]
    for first in range(0, 1 if args.quick else args.seeds, TOGETHER):
        for repelled in (True, False) if args.learner == "pg" else (True,):
            for layouts in groups:
                settings = settings_of(learner, layouts[0], repelled, args.quick)
                keys = [
                    (learner, layout, str(settings.coef or settings.entropy), str(seed))
                    for layout in layouts
                    for seed in range(first, min(first + TOGETHER, args.seeds))
                ]
                if set(keys) <= finished:
                    continue
                begin = time.process_time()
                results = train([LAYOUTS[key[1]] for key in keys], first, settings)
                cpu = (time.process_time() - begin) / len(keys)
                made = []
                for key, result in zip(keys, results, strict=True):
                    returns = result["returns"]
                    values = (
                        str(result["full"]),
                        " ".join(map(str, result["goals"])),
                        " ".join(f"{value:.2f}" for value in returns),
                        f"{returns.mean():.3f}",
                        f"{cpu:.2f}",
                        commit,
                    )
                    made.append(dict(zip(FIELDS, key + values, strict=True)))
                made = [row for row in made if tuple(row[field] for field in FIELDS[:4]) not in finished]
                rows += made
                if not args.quick:
                    args.out.parent.mkdir(exist_ok=True)
                    append(args.out, made)
    holds = table(rows)
    return 0 if holds or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
