"""The loop of a population: collect, exchange, train, in lockstep."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from stable_baselines3.common.logger import Figure as TensorBoardFigure
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import configure_logger

from sb3_wasserstein.population.exchange import Exchange, Report, Turn
from sb3_wasserstein.population.executors import Executor, MemberError
from sb3_wasserstein.population.images import images


class Rounds:
    """
    :param members: where they live
    :param exchange: what they learn of each other
    :param tensorboard_log: folder, None for no log
    """

    def __init__(self, members: Executor, exchange: Exchange, tensorboard_log: str | None) -> None:
        self.members = members
        self.exchange = exchange
        self.tensorboard_log = tensorboard_log
        self._next_images = math.inf

    def run(
        self,
        phases: list[list[int]],
        total_timesteps: int,
        callback: MaybeCallback,
        progress_bar: bool,
        reset_num_timesteps: bool,
        save: Callable[[], None] | None,
        save_every: int,
    ) -> None:
        """
        :param phases: the members that train together, one phase after the other
        :param total_timesteps: of each member
        :param callback: SB3's, of each member
        :param progress_bar: whether to show one, for all
        :param reset_num_timesteps: whether to count anew
        :param save: writes a checkpoint
        :param save_every: number of rounds between checkpoints
        """
        if reset_num_timesteps:
            self.exchange.begin()
        # Drawn with matplotlib, which is an extra.
        self._next_images = 0.0 if find_spec("matplotlib") else math.inf
        logger = configure_logger(0, self.tensorboard_log, "population", reset_num_timesteps)
        bar = _bar(total_timesteps * self.exchange.n_policies) if progress_bar else None
        n_rounds = 0
        try:
            for phase in phases:
                totals = self.members.call("begin", dict.fromkeys(phase, (total_timesteps, callback, reset_num_timesteps)))
                active = set(phase)
                steps = {k: total - total_timesteps for k, total in totals.items()}
                collected: dict[int, Report] = {}
                while active:
                    reports = collected or self.members.call("collect", dict.fromkeys(sorted(active), ()))
                    if bar is not None:
                        bar.update(sum(report.timesteps - steps[k] for k, report in reports.items()))
                    steps.update({k: report.timesteps for k, report in reports.items()})
                    n_rounds += 1
                    saving = save is not None and n_rounds % save_every == 0
                    if n_rounds == 1:
                        self._check_rounds(total_timesteps, max(steps[k] - totals[k] + total_timesteps for k in steps))
                    running = {k: report for k, report in reports.items() if report.running}
                    active = {k for k in running if steps[k] < totals[k]}
                    collected = {}
                    if running:
                        progress = min(1.0, max(report.timesteps / totals[k] for k, report in running.items()))
                        turns = self.exchange.turns(running, progress)
                        given = {k: (turn,) for k, turn in turns.items()}
                        if active == set(turns) and not saving:
                            # Each round has one barrier then, not two: members wait for the slowest once.
                            collected = self.members.call("train", given, then="collect")
                        else:
                            self.members.call("train", given)
                        self._log(logger, turns, sum(steps.values()), progress)
                    if saving and save is not None:
                        save()
                self.members.call("end", dict.fromkeys(phase, ()))
            if save is not None:
                save()
        except MemberError:
            if save is not None:
                try:
                    save()
                # The member's failure is what the user has to know first.
                except (MemberError, OSError) as error:
                    warnings.warn(f"no checkpoint could be written after a member had failed: {error}", stacklevel=2)
            raise
        finally:
            if bar is not None:
                bar.close()
            logger.close()

    def _check_rounds(self, total_timesteps: int, of_a_round: int) -> None:
        """Warn where repulsion would be over before a policy could have followed it."""
        rules, n_rounds = self.exchange.rules, math.ceil(total_timesteps / of_a_round)
        if rules.schedule == "burst" and rules.coef > 0 and rules.burst.full * n_rounds < 2:
            least = math.ceil(2 / rules.burst.full)
            warnings.warn(
                f"{total_timesteps} steps are {n_rounds} rounds of {of_a_round}: members are repelled in the first "
                f"{rules.burst.full:.3g} of a training, which takes {least} rounds at least. Train longer, or with a smaller "
                "n_steps or n_envs",
                stacklevel=4,
            )

    def _log(self, logger: Logger, turns: dict[int, Turn], timesteps: int, progress: float) -> None:
        for (k, l), distance in self.exchange.pair_distances.items():
            if k < l:
                logger.record(f"wasserstein/pair_{k}_{l}", distance)
        for k, turn in turns.items():
            logger.record(f"wasserstein/coef_{k}", turn.coef)
        logger.record("wasserstein/fresh_starts", sum(self.exchange.restarts.values()))
        if self.tensorboard_log is not None and progress >= self._next_images:
            # Ten times in a training.
            self._next_images = progress + 0.1
            for name, figure in images(self.exchange, turns).items():
                logger.record(f"wasserstein/{name}", TensorBoardFigure(figure, close=False), exclude="stdout")
        logger.dump(timesteps)


def _bar(total: int) -> Any:
    try:
        from tqdm.rich import tqdm
    except ImportError as error:
        raise ImportError("progress_bar=True needs tqdm and rich: pip install 'sb3-wasserstein[logging]'") from error
    return tqdm(total=total)
