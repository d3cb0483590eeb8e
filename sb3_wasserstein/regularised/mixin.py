"""What the regularised algorithms share: arguments, the callback that keeps the dual, saving and loading."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import Schedule, TensorDict
from stable_baselines3.common.vec_env import VecEnv

from sb3_wasserstein._atomic_io import save_model
from sb3_wasserstein._numba import import_compiled
from sb3_wasserstein._validation import check_count, check_flag
from sb3_wasserstein.duals import Dual, dual_from_config, make_dual
from sb3_wasserstein.duals.factory import takes_seed
from sb3_wasserstein.embeddings import Embedding, make_embedding
from sb3_wasserstein.recording.reader import EpisodeReader
from sb3_wasserstein.regularised import credit as shaping
from sb3_wasserstein.regularised.bonus import BonusReport
from sb3_wasserstein.regularised.callback import DualCallback
from sb3_wasserstein.targets import as_target

#: what is saved as state dictionaries
STATES = ("dual", "dual_callback")


class WassersteinMixin(BaseAlgorithm):
    """
    What every regularised algorithm has (S1 eq. 4: max J(θ) + λ W(μ_θ, ν)): its arguments, what it keeps of a behaviour, how
    that is saved and loaded. How the bonus reaches the learner is in ``on_policy`` and ``off_policy``.

    :param args: the algorithm's own arguments
    :param embedding: what a behaviour is: "final_state", "mean_state", "path", "visit_histogram", "state_occupancy", or an
        Embedding. Where the environment is wrapped in a TrajectoryEmbeddingWrapper, the wrapper's is used
    :param target: the law ν: a Target, an (n, dim) array, or the path of a saved target
    :param wasserstein_coef: λ: > 0 repels from the target, < 0 attracts to it; a schedule gets ``progress_remaining``
    :param dual: "sinkhorn", "rkhs", "alternating", "semidiscrete", or a Dual
    :param dual_kwargs: the dual's constructor arguments, e.g. ``{"epsilon": 0.05, "cost": "euclidean"}``
    :param credit: which steps get an episode's bonus: "telescoping" (where the behaviour changed), "terminal" (the last),
        "episode" (all alike, past the critic); None is telescoping where the embedding has prefixes, else terminal
    :param episode_window: number of episodes that the policy's law is estimated from
    :param normalize_bonus: measure λ in units of (spread of the episode returns) / (median ground cost), both frozen after
        the first window; False takes the paper's λ
    :param segment_length: count every so many steps as an episode, for tasks whose episodes never end
    :param kwargs: the algorithm's own arguments
    :raises ValueError: if an argument is unknown or out of range, with its name

    Example:
        >>> from sb3_wasserstein import WassersteinPPO
        >>> from sb3_wasserstein.regularised import WassersteinMixin
        >>> arguments = {"embedding": "final_state", "target": [[0.0] * 4], "wasserstein_coef": lambda left: -left}
        >>> model = WassersteinPPO("MlpPolicy", "CartPole-v1", **arguments, episode_window=64, dual_kwargs={"epsilon": 0.1})
        >>> isinstance(model, WassersteinMixin)
        True
    """

    dual_callback: DualCallback | None

    def __init__(
        self,
        *args: Any,
        embedding: str | Embedding = "mean_state",
        target: Any = None,
        wasserstein_coef: float | Schedule = 0.0,
        dual: str | Dual = "sinkhorn",
        dual_kwargs: dict[str, Any] | None = None,
        credit: str | None = None,
        episode_window: int = 256,
        normalize_bonus: bool = True,
        segment_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        # load() makes an instance without arguments, then sets the saved ones and those that it was given: None tells
        # "not given" from a default that was asked for.
        unset = not kwargs.get("_init_setup_model", True)
        given: dict[str, Any] = {"embedding": embedding, "dual": dual}
        for name, value in given.items():
            if value is None and not unset:
                raise TypeError(f"{name} must be a name or an object of its kind; got None (leave it out for the default)")
        self.embedding: Any = None if unset and embedding == "mean_state" else embedding
        self.target: Any = target
        self.dual: Any = None if unset and dual == "sinkhorn" else dual
        self.dual_kwargs = dual_kwargs
        self.wasserstein_coef = wasserstein_coef
        self.credit = credit
        self.episode_window = episode_window
        self.normalize_bonus = normalize_bonus
        self.segment_length = segment_length
        #: JSON-plain recipes that a saved model is rebuilt from
        self.wasserstein_config: dict[str, Any] | None = None
        self.dual_callback = None
        self._is_saving = False
        #: what the next line of the log says of the last rollouts
        self._bonus_report = BonusReport()
        super().__init__(*args, **kwargs)

    def _setup_wasserstein(self) -> None:
        saved = self.wasserstein_config
        check_count("episode_window", self.episode_window, 2)
        check_coefficient(self.wasserstein_coef)
        check_flag("normalize_bonus", self.normalize_bonus)
        if self.credit is not None and self.credit not in shaping.CREDITS:
            raise ValueError(f"credit={self.credit!r} is not known; use one of {list(shaping.CREDITS)}, or None")
        if saved and self.dual is None and self.dual_kwargs is None:
            self.dual = dual_from_config(saved["dual"])
        else:
            self.dual = self._made_dual("sinkhorn" if self.dual is None else self.dual)
        if self.embedding is None:
            self.embedding = saved["embedding"] if saved else "mean_state"
        self.embedding = make_embedding(self.embedding)
        self.target = None if self.target is None else as_target(self.target)
        if self.target is None and not (saved and saved["has_target"]):
            if saved and saved.get("is_member"):
                self.wasserstein_coef = 0.0
                warnings.warn(
                    "this model was a member of a population and is loaded alone: it has nobody to be repelled from, and "
                    "comes with wasserstein_coef=0 (Population.load brings the population back)",
                    stacklevel=2,
                )
            if callable(self.wasserstein_coef) or self.wasserstein_coef != 0:
                raise ValueError(
                    f"wasserstein_coef={self.wasserstein_coef!r} needs a target: pass target= (a Target, an (n, dim) array or "
                    "a path), or leave the coefficient at 0"
                )
        else:
            self.dual_callback = DualCallback(
                self.embedding,
                self.target,
                self.dual,
                episode_window=self.episode_window,
                segment_length=self.segment_length,
            )
            import_compiled()
            if self.env is not None:
                self._bind_wasserstein(self.env)
        self.wasserstein_config = {
            "embedding": self.embedding.config(),
            "dual": self.dual.config(),
            "has_target": self.dual_callback is not None,
        }

    def _made_dual(self, dual: str | Dual) -> Dual:
        kwargs = self.dual_kwargs
        # The duals that draw samples: the model's seed is theirs too.
        if isinstance(dual, str) and takes_seed(dual) and (kwargs is None or isinstance(kwargs, dict)):
            kwargs = {"seed": self.seed, **(kwargs or {})}
        return make_dual(dual, kwargs)

    def _bind_wasserstein(self, env: VecEnv) -> None:
        assert self.dual_callback is not None
        self.dual_callback.bind(EpisodeReader(env))
        self.embedding = self.dual_callback.embedding
        if self.credit == "telescoping" and not self.dual_callback.has_prefixes:
            raise ValueError(
                f"credit='telescoping' needs the embedding of every prefix of an episode, which {self.embedding} does not "
                "give here: use credit='terminal' or 'episode' (or a wrapper with every_step=True)"
            )

    @property
    def embeddings(self) -> NDArray[np.float64]:
        """(n, dim) the embeddings in the window, the oldest first; empty without a target."""
        return np.zeros((0, 0)) if self.dual_callback is None else self.dual_callback.window.embeddings

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        total_timesteps, callback = super()._setup_learn(*args, **kwargs)
        if self.dual_callback is not None:
            # Not one of SB3's list of callbacks: calling them all at every step is most of what recording would cost.
            self.dual_callback.init_callback(self)
            self.dual_callback.on_training_start({}, {})
        return total_timesteps, callback

    def _coefficient(self) -> float:
        if not callable(self.wasserstein_coef):
            return float(self.wasserstein_coef)
        return check_coefficient(float(self.wasserstein_coef(self._current_progress_remaining)))

    def _effective_coefficient(self, behaviour: DualCallback, coef: float) -> float:
        """λ in the unit of the buffer's rewards."""
        unit = behaviour.scales.episode_return / behaviour.scales.ground_cost if self.normalize_bonus else 1.0
        return coef * unit / self._reward_divisor(behaviour)

    def _reward_divisor(self, behaviour: DualCallback) -> float:
        """What the buffer's rewards have been divided by: the bonus is to be in the same unit."""
        normalize = self._vec_normalize_env
        # Rewards that are switched off have no unit: what VecNormalize divides them by goes to zero.
        if normalize is None or not normalize.norm_reward or not behaviour.window.returns.any():
            return 1.0
        return math.sqrt(float(normalize.ret_rms.var) + normalize.epsilon)

    def save(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """SB3's; its arguments are the parent's. A file is there whole or not at all."""
        self._is_saving = True
        try:
            parent = super().save
            save_model(path, lambda place: parent(place, *args, **kwargs))
        finally:
            self._is_saving = False

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """SB3's: what is known of the behaviour is saved with the model, but is none of its parameters."""
        params = super().get_parameters()
        return params if self._is_saving else {name: state for name, state in params.items() if name not in STATES}

    def set_parameters(
        self, load_path_or_dict: str | TensorDict, exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        """SB3's. Where the parameters hold no behaviour (a plain PPO's do not), the present one stays."""
        params = load_path_or_dict
        if not isinstance(params, dict):
            _, params, _ = load_from_zip_file(params, device=device, load_data=False)
        if self.dual_callback is None:
            params = {name: state for name, state in params.items() if name not in STATES}
            super().set_parameters(params, exact_match, device)
            return
        # A part of ours is a mistake, which SB3 reports.
        ours: TensorDict = {} if set(STATES) & params.keys() else {name: getattr(self, name).state_dict() for name in STATES}
        super().set_parameters({**params, **ours}, exact_match, device)
        self.target = self.dual_callback.target

    def _excluded_save_params(self) -> list[str]:
        return [
            *super()._excluded_save_params(),
            *STATES,
            "_is_saving",
            "_bonus_report",
            "dual_kwargs",
            "embedding",
            "target",
        ]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        if self.dual_callback is None or (self.wasserstein_config or {}).get("is_member"):
            # A member's behaviour is its population's to keep: saved alone it is a model as any other.
            return state_dicts, variables
        return [*state_dicts, *STATES], variables


def check_coefficient(coefficient: float | Callable[[float], float]) -> float:
    """
    :param coefficient: λ or a schedule
    :return: λ, or the schedule's value at the start
    :raises ValueError: if it is not finite
    :raises TypeError: if it is neither a number nor a schedule
    """
    try:
        value = coefficient(1.0) if callable(coefficient) else coefficient
    # A user's schedule can raise anything.
    except Exception as error:
        raise ValueError(f"wasserstein_coef is a schedule that fails at progress_remaining=1.0: {error!r}") from error
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"wasserstein_coef must be a number or a schedule of progress_remaining; got {coefficient!r}")
    if not math.isfinite(value):
        what = f"the schedule {coefficient!r} returned {value!r}" if callable(coefficient) else f"got {value!r}"
        raise ValueError(f"wasserstein_coef must be finite; {what}")
    return float(value)
