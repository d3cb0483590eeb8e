"""Replay buffers that keep what a transition was in the embedding space: its bonus is worked out when it is sampled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

#: h, scaled: (k, dim) points of episodes of (k,) numbers -> (k,), in the unit of the buffer's rewards
Bonus = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


class BehaviourReplayMixin(ReplayBuffer):
    """
    A stored transition gains Σ_i s_i λ h(z_i) over its two points z of the embedding space: φ of the episode after and before
    the step with s = (1, −1), or a state of an occupancy with its weight. The points stay, h is the present one: a bonus that
    was stored would age with the dual.

    :param args: SB3's own arguments
    :param kwargs: SB3's own arguments
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._forget()

    def _forget(self) -> None:
        #: (2, buffer_size, n_envs, dim) the points and (2, buffer_size, n_envs) their factors; made when the dim is known
        self.points: NDArray[np.float32] | None = None
        self.factors = np.zeros((2, self.buffer_size, self.n_envs), np.float32)
        #: (buffer_size, n_envs) number of the episode that a transition is of
        self.numbers = np.full((self.buffer_size, self.n_envs), -1, np.int64)
        #: the recipe of the embedding that the points are of
        self.recipe: str | None = None
        #: None where there is no bonus (yet)
        self.bonus: Bonus | None = None

    @classmethod
    def adopted(cls, buffer: ReplayBuffer) -> BehaviourReplayMixin:
        """
        :param buffer: SB3's own
        :return: one of this class with the same transitions, which gain nothing
        """
        made = cls.__new__(cls)
        made.__dict__.update(buffer.__dict__)
        made._forget()
        return made

    def make_room(self, dim: int, recipe: str) -> None:
        """
        Make room for the points of an embedding. What another embedding has described gains nothing from now on.

        :param dim: dimension of the embedding space
        :param recipe: that tells the embedding from others
        """
        if recipe == self.recipe and self.points is not None and self.points.shape[-1] == dim:
            return
        self._forget()
        self.recipe = recipe
        n_stored = self.buffer_size if self.full else self.pos
        if n_stored:
            warnings.warn(
                f"the replay buffer's {n_stored * self.n_envs} transitions were stored without the embedding {recipe}: they "
                "are learnt from, and gain no bonus",
                stacklevel=2,
            )
        shape = (2, self.buffer_size, self.n_envs, dim)
        gibibytes = 4 * math.prod(shape) / 2**30
        # About what SB3's own buffer of a million transitions takes; such a size is no surprise.
        if gibibytes > 1:
            warnings.warn(
                f"the bonus needs {gibibytes:.1f} GiB beside the replay buffer, two points of {dim} numbers for each of "
                f"{self.buffer_size * self.n_envs} transitions: lower buffer_size=, or take an embedding of fewer dimensions",
                stacklevel=2,
            )
        self.points = np.zeros(shape, np.float32)

    def add(self, *args: Any, **kwargs: Any) -> None:
        """SB3's. A transition gains nothing until it is described: an interrupted rollout's never is."""
        self.factors[:, self.pos] = 0.0
        super().add(*args, **kwargs)

    def describe(
        self, positions: NDArray[np.intp], points: NDArray[Any], factors: NDArray[Any], numbers: NDArray[np.int64]
    ) -> None:
        """
        Say what stored transitions were.

        :param positions: (T,) where they are in the buffer
        :param points: (2, T, n_envs, dim)
        :param factors: (2, T, n_envs)
        :param numbers: (T, n_envs) of their episodes
        """
        assert self.points is not None
        self.points[:, positions] = points
        self.factors[:, positions] = factors
        self.numbers[positions] = numbers

    def bonus_of(self, steps: NDArray[np.intp], envs: NDArray[np.intp]) -> NDArray[np.float64]:
        """
        :param steps: (B,) positions in the buffer
        :param envs: (B,) environments
        :return: (B,) what the transitions gain
        """
        if self.bonus is None or self.points is None:
            return np.zeros(len(steps))
        points = self.points[:, steps, envs].astype(np.float64)
        numbers = np.tile(self.numbers[steps, envs], 2)
        values = self.bonus(points.reshape(-1, points.shape[-1]), numbers).reshape(2, -1)
        gained: NDArray[np.float64] = (self.factors[:, steps, envs] * values).sum(axis=0)
        return gained

    def _get_samples(self, batch_inds: NDArray[np.intp], env: VecNormalize | None = None) -> Any:
        """SB3's, and the bonus on the rewards."""
        # SB3 draws the environments inside, first of all: the same draw again says which they were.
        drawn = np.random.RandomState()
        drawn.set_state(np.random.get_state())  # noqa: NPY002
        samples: Any = super()._get_samples(batch_inds, env)
        if self.bonus is None:
            return samples
        envs = drawn.randint(0, high=self.n_envs, size=(len(batch_inds),))
        bonus = self.bonus_of(np.asarray(batch_inds), envs).astype(np.float32)
        rewards = samples.rewards + th.from_numpy(bonus).to(samples.rewards.device)[:, None]
        return samples._replace(rewards=rewards)

    def __getstate__(self) -> dict[str, Any]:
        # The bonus belongs to the model, which gives it anew; it is none of a saved buffer's.
        return {**self.__dict__, "bonus": None}


class BehaviourReplayBuffer(BehaviourReplayMixin, ReplayBuffer):
    """SB3's ReplayBuffer. See :class:`BehaviourReplayMixin`."""


class BehaviourDictReplayBuffer(BehaviourReplayMixin, DictReplayBuffer):
    """SB3's DictReplayBuffer. See :class:`BehaviourReplayMixin`."""
