"""
What is claimed, and what each claim asks of the rows of a CSV.

A claim's function gets all rows of its CSV and returns whether they bear the claim out, with the figure that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from benchmarks._lib.rows import RESULTS, Row, read, where
from benchmarks._lib.statistics import interquartile_mean, interval, share, values


@dataclass(frozen=True)
class Verdict:
    """
    :param holds: whether a claim holds; None where its rows are not there
    :param figure: what it was worked out from
    """

    holds: bool | None
    figure: str = ""

    def __str__(self) -> str:
        word = {True: "yes", False: "no", None: "not run"}[self.holds]
        return f"{word}: {self.figure}" if self.figure else word


@dataclass(frozen=True)
class Claim:
    """
    :param text: one sentence
    :param arguments: of ``python -m``: the module that measures the claim, and its options
    :param csv: the name of the file in ``benchmarks/results``
    :param rule: the verdict on rows that are there
    :param part: the rows of the CSV that belong to the claim; the CPU minutes are theirs
    :param minutes: of CPU time, where the rows do not say
    """

    text: str
    arguments: str
    csv: str
    rule: Callable[[list[Row]], Verdict]
    part: Callable[[Row], bool] = lambda _: True
    minutes: float | None = None

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.csv}.csv"

    def rows(self) -> list[Row]:
        """Those of the CSV that belong to the claim."""
        return list(filter(self.part, read(self.path)))

    def verdict(self, rows: list[Row]) -> Verdict:
        """:param rows: of the whole CSV"""
        own = list(filter(self.part, rows))
        return self.rule(own) if own else Verdict(None)


def worst_share(
    by: tuple[str, ...], reached: Callable[[Row], bool], least: float | dict[str, float]
) -> Callable[[list[Row]], Verdict]:
    """
    Every group of rows has at least this share of successes.

    :param by: the columns that make the groups
    :param reached: what a success is
    :param least: the share, or the share by the value of the first of the columns
    """

    def rule(rows: list[Row]) -> Verdict:
        groups = grouped(rows, *by)
        shares = {key: share(group, reached) for key, group in groups.items()}
        asked = {key: least if isinstance(least, float) else least[key[0]] for key in groups}
        total = sum(map(reached, rows))
        worst = min(shares, key=lambda key: shares[key] - asked[key])
        count = f"{sum(map(reached, groups[worst]))} of {len(groups[worst])}"
        figure = f"{total} of {len(rows)}" + (f", least {count} ({', '.join(worst)})" if len(groups) > 1 else "")
        return Verdict(all(shares[key] >= asked[key] for key in groups), figure)

    return rule


def within(limits: dict[str, tuple[float, float]]) -> Callable[[list[Row]], Verdict]:
    """In every row these columns lie in their ranges; a cell that is empty says nothing."""

    def rule(rows: list[Row]) -> Verdict:
        figures, holds = [], True
        for name, (low, high) in limits.items():
            found = values([row for row in rows if row[name]], name)
            holds &= bool(np.all((found >= low) & (found <= high)))
            figures.append(f"{name} {found.min():.3g} to {found.max():.3g}")
        return Verdict(holds, ", ".join(figures))

    return rule


def grouped(rows: list[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    """The rows by the values of some columns."""

    def key(row: Row) -> tuple[str, ...]:
        return tuple(row[name] for name in names)

    return {found: list(group) for found, group in groupby(sorted(rows, key=key), key)}


def number(row: Row, name: str) -> float:
    return float(row[name] or "nan")


# Attraction


def near_optimum(row: Row) -> bool:
    """The mean return of the last 100 episodes is within 10 % of the optimum."""
    return number(row, "mean") >= 1.1 * number(row, "optimum")


def optimal(row: Row) -> bool:
    """The final deterministic policy walks a cheapest path."""
    return number(row, "greedy") == number(row, "optimum")


def attracted(reached: Callable[[Row], bool], least: float) -> Callable[[list[Row]], Verdict]:
    """λ < 0 reaches the optimum on each map and time limit, λ = 0 on at most 15 %."""

    def rule(rows: list[Row]) -> Verdict:
        drawn, control = where(rows, coef=-1.0), where(rows, coef=0.0)
        verdict = worst_share(("map", "time_limit"), reached, least)(drawn)
        figure = f"{verdict.figure}; at λ = 0 {sum(map(reached, control))} of {len(control)}"
        return Verdict(bool(verdict.holds) and share(control, reached) <= 0.15, figure)

    return rule


def plain_map(learner: str) -> Callable[[Row], bool]:
    return lambda row: row["learner"] == learner and row["dual"] == "sinkhorn" and not row["map"].startswith("maze")


def on_mazes(rows: list[Row]) -> Verdict:
    return attracted(near_optimum, 0.85)([{**row, "map": "mazes"} for row in rows])


def other_duals(rows: list[Row]) -> Verdict:
    return worst_share(("dual",), near_optimum, 0.9)(rows)


def better_than_teacher(rows: list[Row]) -> Verdict:
    """Of each case whose teacher is suboptimal, half of the runs end above it."""
    short = [row for row in mazes_as_one(rows) if number(row, "teacher") < number(row, "optimum")]
    return worst_share(("teacher_kind", "map"), lambda row: number(row, "greedy") > number(row, "teacher"), 0.5)(short)


def as_good_as_teacher(rows: list[Row]) -> Verdict:
    rule = worst_share(("teacher_kind", "map"), lambda row: number(row, "greedy") >= number(row, "teacher"), 0.9)
    return rule(mazes_as_one(rows))


def mazes_as_one(rows: list[Row]) -> list[Row]:
    return [{**row, "map": "mazes" if row["map"].startswith("maze") else row["map"]} for row in rows]


def credits(rows: list[Row]) -> Verdict:
    """Telescoping credit reaches the optimum on every seed, and on more seeds than the other two."""
    reached = {key[0]: sum(map(near_optimum, group)) for key, group in grouped(rows, "credit").items()}
    n = len(where(rows, credit="telescoping"))
    figure = ", ".join(f"{name} {found} of {n}" for name, found in sorted(reached.items(), key=lambda pair: -pair[1]))
    return Verdict(reached["telescoping"] == n > max(reached["episode"], reached["terminal"]), figure)


def value_in_scale(rows: list[Row]) -> Verdict:
    """The correction lowers V to less than .8 of what it is without."""
    means = {key: values(group, "value").mean() for key, group in grouped(rows, "gamma", "method").items()}
    ratios = [means[gamma, "corrected"] / means[gamma, "bootstrapped"] for gamma in sorted({key[0] for key in means})]
    return Verdict(max(ratios) < 0.8, f"V times {max(ratios):.2f} at most")


# Imitation: the return that is asked for, the share of the seeds, the returns of the expert and of random actions

IMITATION = {
    "CartPole-v1": (475.0, 0.9, 500.0, 23.7),
    "MountainCar-v0": (-130.0, 0.9, -103.2, -200.0),
    "Acrobot-v1": (-110.0, 0.9, -76.8, -497.1),
    "Pendulum-v1": (-240.0, 0.8, -143.9, -1207.6),
}


def at_line(row: Row) -> bool:
    """The return is the task's line or better."""
    return number(row, "return") >= IMITATION[row["task"]][0]


def imitated(rows: list[Row]) -> Verdict:
    least = {task: asked for task, (_, asked, _, _) in IMITATION.items()}
    return worst_share(("task",), at_line, least)(rows)


def level_with_experts(least: float, worst: float) -> Callable[[list[Row]], Verdict]:
    """The interquartile mean of the scores over all tasks, and the least median of a task."""

    def rule(rows: list[Row]) -> Verdict:
        strata = {task: values(group, "score") for (task,), group in grouped(rows, "task").items()}
        found, (low, high) = interquartile_mean(np.concatenate(list(strata.values()))), interval(list(strata.values()))
        medians = {task: float(np.median(scores)) for task, scores in strata.items()}
        last = min(medians, key=lambda task: medians[task])
        figure = f"{found:.2f} [{low:.2f}, {high:.2f}]; worst task {last} {medians[last]:.2f}"
        return Verdict(found >= least and medians[last] >= worst, figure)

    return rule


def with_defaults(demonstrations: int) -> Callable[[Row], bool]:
    return lambda row: row["demonstrations"] == str(demonstrations) and not row["settings"]


def level_with_peers(rows: list[Row]) -> Verdict:
    """No peer's mean is ahead by more than 5 % of the gap between the expert and random actions."""
    behind = {}
    for (task,), group in grouped(rows, "task").items():
        means = {key[0]: values(part, "return").mean() for key, part in grouped(group, "method").items()}
        _, _, expert, random = IMITATION[task]
        for peer in {"pwil", "gail"} & means.keys():
            behind[f"{peer} on {task}"] = (means[peer] - means["wasserstein"]) / (expert - random)
    worst = max(behind, key=lambda name: behind[name])
    return Verdict(behind[worst] <= 0.05, f"{worst} ahead by {behind[worst]:.1%}")


# Repulsion


def full(row: Row) -> bool:
    """Every member has a goal of its own."""
    return row["full"] == "True"


def full_by_policy_gradient(rows: list[Row]) -> Verdict:
    """Full populations, and, where all goals are equal, returns of at most 3 % less than without repulsion."""
    apart, alone = ([row for row in rows if (number(row, "coef") > 0) is repelled] for repelled in (True, False))
    least = {"two": 0.95, "three": 0.95, "four": 0.9, "unequal": 0.9, "wall": 0.9}
    verdict = worst_share(("layout",), full, least)(apart)
    losses = []
    for layout in ("two", "three", "four"):
        with_, without = (values(where(part, layout=layout), "mean_return").mean() for part in (apart, alone))
        losses.append((without - with_) / abs(without))
    figure = f"{verdict.figure}; at λ = 0 {sum(map(full, alone))} of {len(alone)}"
    return Verdict(bool(verdict.holds) and max(losses) <= 0.03, figure)


def more_than_discriminator(rows: list[Row]) -> Verdict:
    """More full populations than DIAYN's bonus gives, for three goals and more."""
    many = [row for row in rows if row["layout"] in ("three", "four")]
    ours, theirs = (sum(map(full, where(many, learner=learner))) for learner in ("pg occupancy", "discriminator"))
    n = len(where(many, learner="discriminator"))
    return Verdict(ours > theirs, f"{ours} against {theirs} of {n}")


RANDOM_SINCE = 20291001


def drawn_afterwards(row: Row) -> bool:
    """A layout that was drawn after the last change of a setting."""
    return row["layout"].startswith("random") and int(row["layout"].removeprefix("random")) >= RANDOM_SINCE


def enough(row: Row) -> bool:
    """Every member has the return that is asked for: on the runner 97 % of the best."""
    least = 0.97 * 90.99 if row["task"] == "runner" else 475.0
    return min(map(float, row["returns"].split())) >= least


def both_ways(row: Row) -> bool:
    return enough(row) and set(row["ways"].split()) == {"0.00", "1.00"}


def apart_on_cart_pole(rows: list[Row]) -> Verdict:
    """All members balance, twice as far apart as the median of independent ones that do."""
    alone = [number(row, "distance") for row in where(rows, coef=0.0) if enough(row)]
    reference = 2 * float(np.median(alone))
    repelled = [row for row in rows if number(row, "coef") > 0]
    return worst_share(("k",), lambda row: enough(row) and number(row, "distance") >= reference, 0.8)(repelled)


def both_directions(rows: list[Row]) -> Verdict:
    rule = worst_share(("task",), lambda row: len({float(v) > 0 for v in row["velocities"].split()}) == 2, 1.0)
    return rule(where(rows, run="population"))


def as_fast_as_alone(rows: list[Row]) -> Verdict:
    """Each member has 90 % of the return of the PPO of its seed that is told its direction."""
    reached, n = 0, 0
    for row in where(rows, run="population"):
        for velocity, total in zip(row["velocities"].split(), row["returns"].split(), strict=True):
            way = "forward" if float(velocity) > 0 else "backward"
            single = where(rows, run=way, seed=row["seed"], task=row["task"])
            n += len(single)
            reached += sum(float(total) >= 0.9 * number(other, "returns") for other in single)
    return Verdict(reached == n, f"{reached} of {n} members")


def survives_failures(rows: list[Row]) -> Verdict:
    shares = {key[0]: values(group, "unharmed").mean() for key, group in grouped(rows, "learner").items()}
    return Verdict(shares["population"] >= 0.9, ", ".join(f"{name} {found:.0%}" for name, found in shares.items()))


# Distance and transport


def times_faster(least: dict[str, tuple[float, ...]], size: str, *columns: str) -> Callable[[list[Row]], Verdict]:
    """By the size of the clouds, the least ratio of each column."""

    def rule(rows: list[Row]) -> Verdict:
        known = [row for row in rows if row[size] in least]
        met = [row for row in known for k, name in enumerate(columns) if number(row, name) >= least[row[size]][k]]
        lowest = ", ".join(f"{name} at least {values(known, name).min():.3g}" for name in columns)
        return Verdict(len(met) == len(columns) * len(known), f"{len(met)} of {len(columns) * len(known)} lines, {lowest}")

    return rule


def stochastic_duals(rows: list[Row]) -> Verdict:
    """The semi-discrete error is at most .03; the alternating one falls by each decade of pairs, to a correlation of .9."""
    semi = values(where(rows, part="semidiscrete"), "error").max()
    default = where(rows, part="alternating", step="5", decay="0.75")
    errors, last = values(default, "error"), number(default[-1], "correlation")
    figure = f"semi-discrete error {semi:.3f}, alternating {errors[0]:.2f} to {errors[-1]:.2f}, correlation {last:.3f}"
    return Verdict(bool(semi <= 0.03 and last >= 0.9 and np.all(np.diff(errors) < 0)), figure)


def streams(rows: list[Row]) -> Verdict:
    """Bounded time and memory a sample."""
    (row,) = where(rows, part="bounded: exponents")
    in_time, in_memory = number(row, "time_exponent"), number(row, "memory_exponent")
    return Verdict(in_time <= 1.05 and in_memory <= 0.02, f"exponents: time {in_time:.2f}, memory {in_memory:.3f}")


def window_against_stream(rows: list[Row]) -> Verdict:
    least = {key[0]: values(group, "ratio").min() for key, group in grouped(rows, "part").items()}
    asked = {"plane": 2000.0, "simplex": 500.0, "walks": 500.0}
    return Verdict(all(least[law] >= asked[law] for law in asked), ", ".join(f"{law} {least[law]:,.0f} ×" for law in asked))


# Cost


def attribution(rows: list[Row]) -> Verdict:
    """The share of the CPU time that is not ours, with λ ≠ 0."""
    least = {"ppo": 0.985, "a2c": 0.93}
    found = {key[0]: values(group, "attribution").min() for key, group in grouped(rows, "algo").items()}
    figure = ", ".join(f"{algo} at least {found[algo]:.3f}" for algo in least if algo in found)
    return Verdict(all(found.get(algo, 0.0) >= least[algo] for algo in least), figure)


def flat_for_long(rows: list[Row]) -> Verdict:
    """A rollout's cost and the memory at the end of 100 rollouts, over those at their begin."""
    ours, memory = values(where(rows, what="ours_ms"), "value"), values(where(rows, what="memory_mib"), "value")
    # The first rollouts fill the window.
    cost, growth = np.median(ours[-10:]) / np.median(ours[3:13]), memory[-1] / memory[0]
    return Verdict(bool(cost <= 1.1 and growth <= 1.01), f"time {cost:.2f} ×, memory {growth:.3f} ×")


def adversarial(rows: list[Row]) -> Verdict:
    rule = within({"memory_growth": (-1.0, 0.01), "rollout_ratio": (0.0, 1.1), "finite": (1.0, 1.0)})
    return rule(rows)


def processes(rows: list[Row]) -> Verdict:
    (row,) = rows
    return Verdict(number(row, "ratio") >= 1.7 and row["same"] == "True", f"{number(row, 'ratio'):.2f} ×")


# Flow and WPO


def all_passed(rows: list[Row]) -> Verdict:
    passed = len(where(rows, passed="True"))
    return Verdict(passed == len(rows), f"{passed} of {len(rows)}")


def fewer_steps(rows: list[Row]) -> Verdict:
    """Steps to 1.15 times the linear–quadratic optimum, against Adam at its best rate, on 50 oscillators."""
    rows = where(rows, n=50, beta=0.0)
    natural = values(where(rows, method="natural"), "to_115").max()
    rates = grouped(where(rows, method="adam"), "rate")
    adam = min(float(np.nan_to_num(values(group, "to_115"), nan=np.inf).mean()) for group in rates.values())
    return Verdict(natural * 2 <= adam, f"{natural:,.0f} at most, Adam {adam:,.0f} on average")


def wpo_on_pendulum(rows: list[Row]) -> Verdict:
    """At 6,000 steps −155 on average; at 8,000 no seed under −200; at 10,000 no less than SAC − 5; 1.6 times SAC's time."""
    ours, sac = where(rows, variant="wpo"), where(rows, variant="sac")
    at_6k, worst_at_8k = values(ours, "score_3").mean(), values(ours, "score_4").min()
    ahead = values(ours, "score_5").mean() - values(sac, "score_5").mean()
    slower = values(ours, "cpu_seconds").mean() / values(sac, "cpu_seconds").mean()
    holds = at_6k >= -155 and worst_at_8k >= -200 and ahead >= -5 and slower <= 1.6
    return Verdict(bool(holds), f"{at_6k:.0f} at 6k, {ahead:+.0f} against SAC at 10k, {slower:.2f} × its time")


def wpo_elsewhere(rows: list[Row]) -> Verdict:
    """Interquartile means at the end: no less than 95 % of SAC's on HalfCheetah, no less than SAC's on LunarLander."""

    def last(task: str, variant: str) -> float:
        found = np.sort(values(where(rows, task=task, variant=variant), "score_5"))
        return float(found[len(found) // 4 : len(found) - len(found) // 4].mean())

    cheetah = last("HalfCheetah-v5", "wpo"), last("HalfCheetah-v5", "sac")
    lander = last("LunarLanderContinuous-v3", "wpo"), last("LunarLanderContinuous-v3", "sac")
    figure = f"HalfCheetah {cheetah[0]:.0f} against {cheetah[1]:.0f}, LunarLander {lander[0]:.0f} against {lander[1]:.0f}"
    return Verdict(cheetah[0] >= 0.95 * cheetah[1] and lander[0] >= lander[1], figure)


def two_sides(rows: list[Row]) -> Verdict:
    """With either side closed at least a quarter of the episodes arrives, on every seed."""
    kept = {
        key[0]: sum(min(number(row, "main_closed"), number(row, "other_closed")) >= 0.25 for row in group)
        for key, group in grouped(rows, "learner").items()
    }
    n = len(where(rows, learner="particles"))
    figure = ", ".join(f"{name} {found} of {n}" for name, found in kept.items())
    return Verdict(kept["particles"] == n > kept["gaussian"], figure)


# Integration


def contrib_solves(rows: list[Row]) -> Verdict:
    drawn, control = where(rows, coef=-1.0), where(rows, coef=0.0)
    solved, by_itself = (len(where(part, solved="True")) for part in (drawn, control))
    figure = f"{solved} of {len(drawn)}; at λ = 0 {by_itself} of {len(control)}"
    return Verdict(solved == len(drawn) and by_itself == 0, figure)


def sb3_tests(rows: list[Row]) -> Verdict:
    own = where(rows, parent="passed")
    kept = [row for row in own if row["zero"] == row["shaped"] == "passed"]
    return Verdict(len(kept) == len(own), f"{len(kept)} of {len(own)}")


def sac_decided(rows: list[Row]) -> Verdict:
    """Nearly all policies go all the way left when they are drawn there, and never when they are driven away."""
    decided = [row for row in rows if number(row, "left") == (1.0 if number(row, "coef") < 0 else 0.0)]
    return Verdict(len(decided) >= 0.9 * len(rows), f"{len(decided)} of {len(rows)}")


def resumed(rows: list[Row]) -> Verdict:
    kept = sum(number(row, "resumed") == 1 and number(row, "left") == 0 for row in rows)
    # 17 pairs of executor and fault, 50 moments each.
    return Verdict(kept == len(rows) == 17 * 50, f"{kept} of {len(rows)} that were run, of {17 * 50}")


def mutations(rows: list[Row]) -> Verdict:
    changing = [row for row in rows if not row["note"]]
    caught = len(where(changing, result="caught"))
    return Verdict(caught >= 0.9 * len(changing), f"{caught} of {len(changing)}; {len(rows) - len(changing)} change nothing")


def right_at_the_target(rows: list[Row]) -> Verdict:
    """The spread at which attraction stops is within .05 of the target's by the oracle, within .1 in training."""
    oracle, training = (values(where(rows, part=part), "spread") for part in ("oracle", "training"))
    largest = float(np.abs(oracle - 1.0).max()), float(np.abs(training - 1.0).max())
    return Verdict(largest[0] <= 0.05 and largest[1] <= 0.1, f"at most {largest[0]:.3f}, in training {largest[1]:.3f}")


def zero_between_equals(rows: list[Row]) -> Verdict:
    """The mean of compare's distance is within two standard errors of 0 in 95 % of the cells."""
    kept = sum(abs(number(row, "compare")) <= 2.0 * number(row, "compare_se") for row in rows)
    largest = max(abs(number(row, "compare")) for row in rows)
    return Verdict(kept >= 0.95 * len(rows), f"{kept} of {len(rows)}, at most {largest:.3f}")


def tells_apart(rows: list[Row]) -> Verdict:
    """p < 0.05 in 3 to 7 % of the pairs of one law, and in 90 % of the pairs of each task's checkpoints."""
    same, other = (values(where(rows, part=part), "compare") for part in ("level", "power"))
    peers = {name: values(where(rows, part="power"), name).min() for name in ("mmd", "energy", "c2st")}
    figure = f"{same.min():.3f} to {same.max():.3f}; power at least {other.min():.2f}, of peers " + ", ".join(
        f"{name} {power:.2f}" for name, power in peers.items()
    )
    return Verdict(bool(same.min() >= 0.03 and same.max() <= 0.07 and other.min() >= 0.9), figure)


def covers(rows: list[Row]) -> Verdict:
    """The interval holds the true distance in 90 to 98 % of the draws of each case."""
    found = {(row["dim"], row["shift"], row["spread"]): number(row, "coverage") for row in rows}
    kept = sum(0.9 <= share <= 0.98 for share in found.values())
    low, high = min(found.values()), max(found.values())
    return Verdict(kept == len(found), f"{kept} of {len(found)} cases, {low:.3f} to {high:.3f}")


CLAIMS = (
    Claim("REINFORCE with λ < 0 walks a cheapest path on 80 % of the seeds of each hilly grid",
          "benchmarks.attraction.hilly_grid", "attraction", attracted(optimal, 0.8), plain_map("reinforce")),
    Claim("WassersteinPPO comes within 10 % of the optimum on 90 % of the seeds of each hilly grid",
          "benchmarks.attraction.hilly_grid --learner ppo", "attraction", attracted(near_optimum, 0.9),
          plain_map("ppo")),
    Claim("WassersteinA2C comes within 10 % of the optimum on 80 % of the seeds of each hilly grid",
          "benchmarks.attraction.hilly_grid --learner a2c", "attraction", attracted(near_optimum, 0.8),
          plain_map("a2c")),
    Claim("WassersteinPPO comes within 10 % of the optimum on 85 % of random mazes",
          "benchmarks.attraction.hilly_grid --learner ppo --mazes 20 --maze-seed 20281128", "attraction", on_mazes,
          lambda row: row["map"].startswith("maze")),
    Claim("With a debiased stochastic dual, WassersteinPPO comes within 10 % of the optimum on 90 % of the seeds of zigzag",
          "benchmarks.attraction.hilly_grid --learner ppo --maps zigzag --duals rkhs-debiased alternating-debiased "
          "semidiscrete-debiased",
          "attraction", other_duals, lambda row: row["dual"].endswith("-debiased")),
    Claim("WassersteinPPO that is drawn to another agent ends as good as that agent on 90 % of the seeds of each case",
          "benchmarks.attraction.teachers", "teachers", as_good_as_teacher, lambda row: row["coef"] == "-1.0"),
    Claim("WassersteinPPO that is drawn to a suboptimal agent ends better than that agent on half of the seeds of each case",
          "benchmarks.attraction.teachers", "teachers", better_than_teacher, lambda row: row["coef"] == "-1.0"),
    Claim("Telescoping credit reaches the optimum on every seed, the other two on fewer",
          "benchmarks.attraction.credit", "credit", credits),
    Claim("The value function keeps its scale at a time limit",
          "benchmarks.attraction.truncation", "truncation", value_in_scale),
    Claim("Five state-only demonstrations without a reward suffice to reach the asked return of each of four tasks",
          "benchmarks.imitation.learners", "imitation", imitated, lambda row: row["method"] == "wasserstein"),
    Claim("Neither PWIL nor GAIL is ahead of that by more than 5 % of the gap between the expert and random actions",
          "benchmarks.imitation.learners", "imitation", level_with_peers),
    Claim("Five demonstrations of public experts, states only, give 90 % of their score, and 70 % on each task",
          "benchmarks.imitation.experts --demos FOLDER", "experts", level_with_experts(0.9, 0.7), with_defaults(5)),
    Claim("One demonstration of public experts, states only, gives 75 % of their score",
          "benchmarks.imitation.experts --demos FOLDER --demonstrations 1", "experts", level_with_experts(0.75, -np.inf),
          with_defaults(1)),
    Claim("Repelled policy gradients find a goal for each member on 90 % of the seeds of each layout",
          "benchmarks.repulsion.plane", "repulsion", full_by_policy_gradient, lambda row: row["learner"] == "pg occupancy"),
    Claim("With three goals and more, repelled policy gradients do so more often than those with DIAYN's bonus",
          "benchmarks.repulsion.plane --learner discriminator", "repulsion", more_than_discriminator),
    Claim("A population of PPOs finds a goal for each member on 80 % of the seeds of each layout",
          "benchmarks.repulsion.ppo --seeds 20", "repulsion_ppo",
          worst_share(("layout", "reward"), full, {"two": 0.95, "three": 0.9, "four": 0.85, "unequal": 0.85, "wall": 0.8}),
          lambda row: row["coef"] == "3.6" and not row["layout"].startswith("random")),
    Claim("A population of PPOs finds a goal for each member in 85 % of random layouts",
          "benchmarks.repulsion.ppo --layouts 20", "repulsion_ppo", worst_share(("coef",), full, 0.85), drawn_afterwards),
    Claim("Two members run either way on a line, at 97 % of the best return, on 90 % of the seeds",
          "benchmarks.repulsion.diversity --tasks runner --seeds 40", "diversity", worst_share(("task",), both_ways, 0.9),
          lambda row: row["task"] == "runner" and row["coef"] == "1.0"),
    Claim("Two members balance CartPole twice as far apart as independent ones, on 80 % of the seeds",
          "benchmarks.repulsion.diversity --tasks CartPole-v1 --members 2 --first-seed 110", "diversity",
          apart_on_cart_pole, lambda row: row["task"] == "CartPole-v1" and row["k"] == "2"),
    Claim("Three members balance CartPole twice as far apart as independent ones, on 80 % of the seeds",
          "benchmarks.repulsion.diversity --tasks CartPole-v1 --members 3 --first-seed 150", "diversity",
          apart_on_cart_pole, lambda row: row["task"] == "CartPole-v1" and row["k"] == "3"),
    Claim("Two members run either way on HalfCheetah, on every seed",
          "benchmarks.repulsion.locomotion", "locomotion", both_directions),
    Claim("Each of the two has 90 % of the return of a single PPO that is told its direction",
          "benchmarks.repulsion.locomotion", "locomotion", as_fast_as_alone),
    Claim("When a link fails, another router's way still stands in 90 % of the cases",
          "benchmarks.repulsion.backup_routes", "backup_routes", survives_failures),
    Claim("Attraction by a debiased distance neither shrinks nor widens a policy, in 1 to 70 dimensions",
          "benchmarks.distance.shrinkage", "shrinkage", right_at_the_target, lambda row: row["self_terms"] == "left out"),
    Claim("compare's distance between two samples of one law is 0 on average, for 2 to 70 dimensions and 20 to 256 episodes",
          "benchmarks.distance.null", "null", zero_between_equals, lambda row: row["part"] == "null"),
    Claim("compare finds no difference where there is none, and tells two checkpoints of a PPO apart by 30 episodes",
          "benchmarks.distance.two_samples", "two_samples", tells_apart),
    Claim("compare's interval at 95 % holds the true distance in 90 to 98 % of the draws",
          "benchmarks.distance.coverage", "coverage", covers, lambda row: row["epsilon"] == "0.5"),
    Claim("Distances of all pairs take a tenth of POT's time for 20 episodes, less than POT's for 256",
          "benchmarks.distance.batched", "batched",
          times_faster({"20": (10.0,), "100": (1.5,), "256": (1.2,)}, "episodes", "ratio"),
          lambda row: row["loops"] == "numba"),
    Claim("With numba SinkhornDual is 3 and 6 times faster than the best peer at n = 1000, cold and warm, 6 and 12 at 4000",
          "benchmarks.transport.dual", "dual",
          times_faster({"100": (0.8, 1.0), "1000": (3.0, 6.0), "4000": (6.0, 12.0)}, "n", "cold_ratio", "warm_ratio"),
          lambda row: row["loops"] == "numba"),
    Claim("Without numba SinkhornDual is 2 and 5 times faster than the best peer at n = 1000 and 4000, cold and warm",
          "benchmarks.transport.dual --plain", "dual",
          times_faster({"1000": (2.0, 5.0), "4000": (2.0, 5.0)}, "n", "cold_ratio", "warm_ratio"),
          lambda row: row["loops"] == "plain"),
    Claim("SinkhornDual's solve reaches 0.6 of the roofline at n ≥ 1000: one exp of the costs and the matrix products",
          "benchmarks.transport.dual", "dual",
          times_faster({"1000": (0.6, 0.6), "4000": (0.6, 0.6)}, "n", "roofline_cold", "roofline_warm"),
          lambda row: row["loops"] == "numba"),
    Claim("The semi-discrete and the alternating dual find the exact potential of 100 points",
          "benchmarks.transport.stochastic", "stochastic", stochastic_duals),
    Claim("RKHSDual's cost a sample and its memory do not grow",
          "benchmarks.transport.streaming", "streaming", streams),
    Claim("Sinkhorn on a window is as accurate as RKHSDual in a fraction of its time",
          "benchmarks.transport.streaming", "streaming", window_against_stream,
          lambda row: row["part"] in ("plane", "simplex", "walks")),
    Claim("Of the CPU time at most 1.5 % of PPO's and 7 % of A2C's is ours",
          "benchmarks.cost.overhead", "overhead", attribution, lambda row: row["setting"] == "λ ≠ 0"),
    Claim("A rollout costs the same after 10,000 episodes, and memory does not grow in 100,000",
          "benchmarks.cost.long_run", "long_run", flat_for_long),
    Claim("Nothing grows and nothing becomes NaN under spikes, constants and collapses",
          "benchmarks.cost.soak", "soak", adversarial),
    Claim("Four members in two processes are 1.7 times faster than in one, with the same result",
          "benchmarks.cost.population", "population", processes, lambda row: row["what"] == "processes"),
    Claim("The distances of 32 members take at most 5 % of a round",
          "benchmarks.cost.population", "population", within({"share": (0.0, 0.05)}), lambda row: row["what"] == "pairs"),
    Claim("The particle flow's derivatives, optima and laws are exact to the bound of each line",
          "benchmarks.flow.particles", "flow", all_passed, minutes=1.0),
    Claim("The natural gradient reaches 1.15 times the optimum of 50 oscillators in half of Adam's steps",
          "benchmarks.flow.oscillators", "oscillators", fewer_steps),
    Claim("WPO learns Pendulum in 6,000 steps and is no worse than SAC at 10,000",
          "benchmarks.wpo.control --first-seed 20 --seeds 10", "wpo", wpo_on_pendulum,
          lambda row: row["task"] == "Pendulum-v1"),
    Claim("WPO is level with SAC after 50,000 steps of HalfCheetah and LunarLander",
          "benchmarks.wpo.control --study slow", "wpo", wpo_elsewhere, lambda row: row["task"] != "Pendulum-v1"),
    Claim("Particles keep both ways round a box on every seed",
          "benchmarks.wpo.wall", "wpo_wall", two_sides),
    Claim("sb3-contrib's algorithms solve the deceptive grid with λ < 0, and not without",
          "benchmarks.integration.contrib", "contrib", contrib_solves),
    Claim("SB3's own tests pass with our classes in the place of PPO and A2C",
          "benchmarks.integration.sb3_suite", "sb3_suite", sb3_tests),
    Claim("WassersteinSAC goes the way that it is drawn to, and not the one that it is driven from",
          "benchmarks.integration.off_policy", "off_policy", sac_decided, lambda row: row["coef"] != "0.0"),
    Claim("Training goes on, nothing is lost and no process left, after every kill, hang and lost node, with each executor",
          "benchmarks.integration.faults", "faults", resumed),
    Claim("The tests notice 90 % of sampled mutations",
          "tools.mutation", "mutation", mutations),
)  # fmt: skip
"""In the order of the README."""
