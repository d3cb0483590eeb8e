"""What the regularised algorithms share: arguments, the tracker of the behaviour, saving and loading."""

from __future__ import annotations

import difflib
import inspect
import math
import warnings
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import Schedule, TensorDict

from sb3_wasserstein._atomic_io import save_model
from sb3_wasserstein._numba import import_compiled
from sb3_wasserstein._validation import check_flag, check_number, check_optional, check_positive
from sb3_wasserstein.duals import Dual, dual_from_config, make_dual
from sb3_wasserstein.duals.factory import takes_seed
from sb3_wasserstein.embeddings import Embedding
from sb3_wasserstein.recording.collect import is_model
from sb3_wasserstein.regularised.callback import TrackerCallback
from sb3_wasserstein.regularised.credit import check_credit
from sb3_wasserstein.regularised.model_target import target_of_model
from sb3_wasserstein.regularised.multiplier import (
    Multiplier,
    MultiplierOptions,
    check_automatic,
    check_constraint,
    check_multiplier_options,
)
from sb3_wasserstein.regularised.tracker import BehaviourTracker, TrackerOptions

#: whether parameters are asked for by save(); each thread has its own value
_IS_SAVING = ContextVar("_IS_SAVING", default=False)
#: arguments that the window and the dual are made for
FIXED = ("embedding", "dual", "dual_kwargs", "segment_length", "tracker_options")
#: arguments that a model's tracker keeps
TRACKED = (*FIXED, "target", "episode_window")
#: all arguments of ours
#: arguments that may be set on a model, beside those of its tracker
SETTINGS = ("wasserstein_coef", "credit", "normalize_bonus", "target_distance", "target_return", "repel", "multiplier_options")
OURS = (*TRACKED, *SETTINGS)


SelfMixin = TypeVar("SelfMixin", bound="WassersteinMixin")


class Setting:
    """
    An argument that may be set on a model too: it is checked whenever it is set, and takes effect from the next rollout on.

    :param check: returns the value, or raises with the argument's name
    """

    def __init__(self, check: Callable[[Any], Any]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else model.__dict__[self._name]

    def __set__(self, model: Any, value: Any) -> None:
        # In the model's dictionary, which SB3 saves and loads.
        model.__dict__[self._name] = self._check(value)


class Fixed:
    """
    An argument that cannot be set on a model.

    :param read: what the model's tracker says of it
    """

    def __init__(self, read: Callable[[BehaviourTracker], Any]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else self._read(model.tracker)

    def __set__(self, model: Any, value: Any) -> None:
        raise ValueError(
            f"{self._name} cannot be set on a model, whose window and dual were made with another: make a new model with "
            f"{self._name}=, and take the policy over by set_parameters(model.get_parameters())"
        )


def _joined_signature(cls: type[WassersteinMixin]) -> inspect.Signature:
    """:return: of a constructor, with the arguments that it passes on to those of its parents"""
    positional: dict[str, inspect.Parameter] = {}
    by_keyword: dict[str, inspect.Parameter] = {}
    passes_positional = True
    for base in cls.__mro__:
        if "__init__" not in base.__dict__:
            continue
        own = list(inspect.signature(base.__dict__["__init__"]).parameters.values())[1:]
        kinds = {parameter.kind for parameter in own}
        for parameter in own:
            if parameter.name in {*positional, *by_keyword} or parameter.name.startswith("_"):
                continue
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and passes_positional:
                positional[parameter.name] = parameter
            elif parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
                by_keyword[parameter.name] = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        passes_positional &= inspect.Parameter.VAR_POSITIONAL in kinds
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    shown = (*positional.values(), *by_keyword.values())
    return inspect.Signature([parameter for parameter in shown if parameter.name not in cls._not_taken])


class WassersteinMixin(BaseAlgorithm):
    """
    What every regularised algorithm has (Abdullah et al. 2018, eq. 4: max J(θ) + λ W(μ_θ, ν)): its arguments, the tracker of
    the behaviour, saving and loading. How the bonus reaches the learner is in ``on_policy`` and ``off_policy``.

    ``target``, ``wasserstein_coef``, ``credit``, ``normalize_bonus`` and ``episode_window`` may be set on a model too, and
    take effect from the next rollout on.

    :param args: the algorithm's own arguments
    :param embedding: what a behaviour is: "final_state", "mean_state", "path", "visit_histogram", "state_occupancy", or an
        Embedding. Where the environment is wrapped in a TrajectoryEmbeddingWrapper, the wrapper's is used
    :param target: the law ν: a Target, an (n, dim) array, a list of recorded episodes, the path of a saved target, or a model,
        whose behaviour is collected (100 episodes) in its own environment, or in a new one of the training's id
    :param wasserstein_coef: λ: > 0 repels from the target, < 0 attracts to it; a schedule gets ``progress_remaining``; "auto"
        finds λ for one of the two constraints below, "auto_0.3" from a first λ of 0.3
    :param dual: "sinkhorn", "rkhs", "alternating", "semidiscrete", or a Dual
    :param dual_kwargs: the dual's constructor arguments, e.g. ``{"epsilon": 0.05, "cost": "euclidean"}``
    :param credit: which steps get an episode's bonus: "telescoping" (where the behaviour changed), "terminal" (the last),
        "episode" (all alike, past the critic); None is telescoping where the embedding has prefixes, else terminal
    :param episode_window: number of episodes that the policy's law is estimated from
    :param normalize_bonus: measure λ in units of (spread of the episode returns) / (median ground cost), both frozen after
        the first window. "return" measures it by the bonus: its discounted return has the size of λ as its root mean square,
        in a running mean over rollouts, and where states are samples its zero is the mean of terminal states, so that an end
        is worth as much as to stay there (on-policy only). False takes the paper's λ
    :param target_distance: with "auto": attract as much as it takes for ``wasserstein/distance`` to be at most that
    :param target_return: with "auto": attract as long as the episodes' mean return is below that, and then let go
    :param repel: with ``target_distance``: the distance is to be at least that, and the policy is repelled
    :param multiplier_options: how "auto" moves λ; None for the defaults
    :param segment_length: count every so many steps as an episode, for tasks whose episodes never end
    :param tracker_options: when and on how many points the dual is solved; None for the defaults
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

    #: what is saved as state dictionaries
    _states: ClassVar[tuple[str, ...]] = ("dual", "tracker")
    #: what is known of the behaviour; it records where there is a target
    tracker: BehaviourTracker
    #: λ, where "auto" finds it; None before the first rollout
    multiplier: Multiplier | None = None
    #: (SB3 saves it) what a loaded model's tracker is made from
    wasserstein_config: dict[str, Any] | None

    wasserstein_coef = Setting(lambda coef: (check_automatic(coef) or check_coefficient(coef), coef)[1])
    credit = Setting(check_credit)
    normalize_bonus = Setting(
        lambda unit: unit if isinstance(unit, str) and unit == "return" else check_flag("normalize_bonus", unit)
    )
    target_distance = Setting(partial(check_optional, "target_distance", check_positive))
    target_return = Setting(partial(check_optional, "target_return", check_number))
    repel = Setting(lambda flag: check_flag("repel", flag))
    multiplier_options = Setting(check_multiplier_options)
    embedding = Fixed(lambda tracker: tracker.embedding)
    dual = Fixed(lambda tracker: tracker.dual)
    dual_kwargs = Fixed(lambda tracker: {name: value for name, value in tracker.dual.config().items() if name != "class"})
    segment_length = Fixed(lambda tracker: tracker.segment_length)
    tracker_options = Fixed(lambda tracker: tracker.options)

    #: arguments that a subclass makes itself
    _not_taken: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *args: Any,
        embedding: str | Embedding = "mean_state",
        target: Any = None,
        wasserstein_coef: float | str | Schedule = 0.0,
        dual: str | Dual = "sinkhorn",
        dual_kwargs: dict[str, Any] | None = None,
        credit: str | None = None,
        episode_window: int = 256,
        normalize_bonus: bool | str = True,
        target_distance: float | None = None,
        target_return: float | None = None,
        repel: bool = False,
        multiplier_options: MultiplierOptions | None = None,
        segment_length: int | None = None,
        tracker_options: TrackerOptions | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_names(kwargs)
        self.wasserstein_coef, self.credit, self.normalize_bonus = wasserstein_coef, credit, normalize_bonus
        self.target_distance, self.target_return, self.repel = target_distance, target_return, repel
        self.multiplier_options = multiplier_options
        self.wasserstein_config = None
        given = {
            "embedding": embedding, "target": target, "dual": dual, "dual_kwargs": dual_kwargs,
            "episode_window": episode_window, "segment_length": segment_length, "tracker_options": tracker_options,
        }  # fmt: skip
        # load() makes an instance without arguments, then puts the saved ones and its own into the dictionary: a default that
        # nobody asked for must not be one of them.
        is_loading = not kwargs.get("_init_setup_model", True)
        defaults = inspect.signature(WassersteinMixin.__init__).parameters
        self.__dict__.update({name: v for name, v in given.items() if not (is_loading and v is defaults[name].default)})
        super().__init__(*args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # What help() and completion show: SB3's arguments beside ours.
        cls.__signature__ = _joined_signature(cls)  # type: ignore[attr-defined]

    @classmethod
    def _check_names(cls, names: Iterable[str]) -> None:
        """
        :raises TypeError: if an argument that the algorithm does not have is close to one of ours
        """
        known = {name for base in cls.__mro__ for name in inspect.signature(base).parameters}
        for name in names:
            close = difflib.get_close_matches(name, OURS, 1, cutoff=0.75)
            if close and name not in known:
                raise TypeError(f"{cls.__name__} has no argument {name!r}: did you mean {close[0]}=?")

    @classmethod
    def load(cls: type[SelfMixin], path: Any, env: Any = None, *args: Any, **kwargs: Any) -> SelfMixin:
        """SB3's; a slip in the name of one of our arguments is an error."""
        cls._check_names(kwargs)
        return super().load(path, env, *args, **kwargs)

    def _setup_model(self) -> None:
        # First, so that what is wrong is said before any network is made.
        self._setup_wasserstein()
        super()._setup_model()  # type: ignore[safe-super]

    def _setup_wasserstein(self) -> None:
        given = {name: self.__dict__.pop(name) for name in TRACKED if name in self.__dict__}
        # load() has put the saved values there, and its own arguments, unchecked.
        for name in SETTINGS:
            setattr(self, name, self.__dict__[name])
        config = self.wasserstein_config or {}
        if "multiplier" in config:
            self.multiplier = Multiplier(**config["multiplier"])
        if "multiplier_options" in config and self.multiplier_options is None:
            self.multiplier_options = MultiplierOptions(**config["multiplier_options"])
        self._check_has_constraint()
        if "options" in config:
            given.setdefault("tracker_options", TrackerOptions(**config["options"]))
        options = given.pop("tracker_options", None)
        if config and not {"dual", "dual_kwargs"} & given.keys():
            given["dual"] = self._saved_dual(config["dual"])
        else:
            dual, dual_kwargs = given.get("dual", "sinkhorn"), given.pop("dual_kwargs", None)
            # The duals that draw samples: the model's seed is theirs too.
            if isinstance(dual, str) and takes_seed(dual) and isinstance(dual_kwargs, (dict, type(None))):
                dual_kwargs = {"seed": self.seed, **(dual_kwargs or {})}
            given["dual"] = make_dual(dual, dual_kwargs)
        for name in {"embedding", "episode_window", "segment_length"} & config.keys():
            given.setdefault(name, config[name])
        expert = given.pop("target") if is_model(given.get("target")) else None
        self.tracker = BehaviourTracker(**given, options=options)
        if expert is not None:
            self.target = expert
        if config.get("is_member") and not self.tracker.records and self.wasserstein_coef != 0:
            self.wasserstein_coef = 0.0
            warnings.warn(
                "this model was a member of a population and is loaded alone: there is nothing to be repelled from, and the "
                "model comes with wasserstein_coef=0 (Population.load brings the population back)",
                stacklevel=2,
            )
        if self._has_target:
            import_compiled()
            if self.env is not None:
                self._bind_wasserstein()
        else:
            self._check_has_target()

    def _saved_dual(self, config: dict[str, Any]) -> Dual:
        """The dual of a saved model, on this model's device where it was on an accelerator."""
        return dual_from_config(config if config.get("device", "cpu") == "cpu" else {**config, "device": str(self.device)})

    @property
    def _has_target(self) -> bool:
        """Whether there is a target, or one comes with the saved state that is being loaded."""
        return self.tracker.records or bool((self.wasserstein_config or {}).get("has_target"))

    def _check_has_target(self) -> None:
        if not self.tracker.records and (callable(self.wasserstein_coef) or self.wasserstein_coef != 0):
            raise ValueError(
                f"wasserstein_coef={self.wasserstein_coef!r} needs a target: pass target= (a Target, an (n, dim) array, a "
                "model or a path), or leave the coefficient at 0"
            )

    def _check_has_constraint(self) -> None:
        check_constraint(self.wasserstein_coef, self.target_distance, self.target_return, self.repel)

    def _bind_wasserstein(self) -> None:
        assert self.env is not None
        if self.tracker.options.law == "rollout" and self.normalize_bonus is True:
            raise ValueError(
                "normalize_bonus=True measures λ in a window of episodes, which TrackerOptions(law='rollout') does not use: "
                "set normalize_bonus='return', or False"
            )
        self.tracker.bind(self.env)

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """SB3's; what the embedding takes from the environment, such as a horizon, is that of the new one."""
        super().set_env(env, force_reset)
        if self.tracker.records:
            self._bind_wasserstein()

    @property
    def target(self) -> Any:
        """The law ν, None without one. One that is set shapes from the next rollout on."""
        return self.tracker.target

    @target.setter
    def target(self, target: Any) -> None:
        if target is None:
            raise ValueError("target=None cannot be set on a model: set wasserstein_coef=0 to go on without the target")
        is_first = not self.tracker.records
        if is_model(target):
            if is_first and self.env is not None:
                # Its embedding may be the environment's.
                self.tracker.bind(self.env)
            target = target_of_model(target, self.tracker.embedding, self.env, self.seed)
        self.tracker.target = target
        if is_first and self.env is not None:
            self._bind_wasserstein()

    @property
    def episode_window(self) -> int:
        """Number of episodes that the policy's law is estimated from."""
        return self.tracker.window.size

    @episode_window.setter
    def episode_window(self, size: int) -> None:
        self.tracker.window.resize(size)

    @property
    def dual_callback(self) -> BehaviourTracker:
        """The :attr:`tracker`, by the name that it had before."""
        return self.tracker

    @property
    def embeddings(self) -> NDArray[np.float64]:
        """(n, dim) the embeddings in the window, the oldest first; empty without a target."""
        return self.tracker.window.embeddings

    def _setup_learn(
        self, total_timesteps: int, callback: Any = None, reset_num_timesteps: bool = True, *args: Any, **kwargs: Any
    ) -> tuple[int, BaseCallback]:
        self._check_has_target()
        self._check_has_constraint()
        was_reset = reset_num_timesteps or self._last_obs is None
        try:
            total_timesteps, callback = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, *args, **kwargs)
        except ImportError as error:
            raise ImportError(f"{error} pip install 'sb3-wasserstein[logging]' brings it") from error
        if self.tracker.records:
            self.tracker.begin(self, was_reset)
        return total_timesteps, callback

    def _init_callback(self, callback: Any, progress_bar: bool = False) -> BaseCallback:
        """SB3's; where there is something to record, our own callback comes before the user's."""
        if self.tracker.records:
            users = callback if isinstance(callback, list) else [] if callback is None else [callback]
            converted = [user if isinstance(user, BaseCallback) else ConvertCallback(user) for user in users]
            callback = [TrackerCallback(self.tracker), *converted]
        return super()._init_callback(callback, progress_bar)

    def _coefficient(self) -> float:
        initial = check_automatic(self.wasserstein_coef)
        if initial is not None:
            return self._multiplied(initial)
        if not callable(self.wasserstein_coef):
            return float(self.wasserstein_coef)
        return check_coefficient(float(self.wasserstein_coef(self._current_progress_remaining)))

    def _multiplied(self, initial: float) -> float:
        """λ where the constraint decides it; called once a rollout."""
        options, tracker = self.multiplier_options or MultiplierOptions(), self.tracker
        if self.multiplier is None:
            self.multiplier = Multiplier.of(initial, options)
        multiplier = self.multiplier
        # Until the first window is full its units move, and the distance says little.
        if tracker.is_ready and tracker.scales.frozen:
            if not multiplier.is_checked:
                self._check_constraint_once(multiplier)
            violation = self._violation(multiplier, options)
            multiplier.step(violation, 1.0 - self._current_progress_remaining, options)
            self.logger.record("wasserstein/constraint", violation)
        self.logger.record("wasserstein/bound_hit", multiplier.bound_hit(options))
        return (1.0 if self.repel else -1.0) * multiplier.value(options)

    def _violation(self, multiplier: Multiplier, options: MultiplierOptions) -> float:
        """By how much the constraint is broken, in units of itself."""
        if self.target_distance is not None:
            excess = float(self.tracker.dual.distance / self.target_distance - 1.0)
            return -excess if self.repel else excess
        assert self.target_return is not None
        assert multiplier.first_return is not None
        gain = self.target_return - multiplier.first_return
        # A policy that begins as good as that has nothing to be attracted for.
        if gain <= 0:
            return -1.0
        return float((self.target_return - self.tracker.newest_return()) / (options.tolerance * gain) - 1.0)

    def _check_constraint_once(self, multiplier: Multiplier) -> None:
        """
        :raises ValueError: if the distance to be held is lost in the noise of the window and the target
        """
        tracker = self.tracker
        multiplier.is_checked, multiplier.first_return = True, tracker.newest_return()
        if self.target_distance is None or self.repel:
            return
        noise = tracker.noise()
        if self.target_distance < noise:
            raise ValueError(
                f"target_distance={self.target_distance!r} is below {noise:.3g}, what two samples of one behaviour are apart "
                f"with these {len(tracker.window)} episodes and this target: ask for more, or raise episode_window"
            )
        if tracker.dual.distance <= self.target_distance:
            warnings.warn(
                f"target_distance={self.target_distance!r} is no less than the distance at the beginning, "
                f"{tracker.dual.distance:.3g}: there is nothing to attract for, unless the policy moves away",
                stacklevel=2,
            )

    def _effective_coefficient(self, coef: float) -> float:
        """λ in the unit of the buffer's rewards."""
        scales = self.tracker.scales
        if self.normalize_bonus == "return":
            return coef
        unit = scales.episode_return / scales.ground_cost if self.normalize_bonus else 1.0
        return coef * unit / self._reward_divisor()

    def _reward_divisor(self) -> float:
        """What the buffer's rewards have been divided by: the bonus is to be in the same unit."""
        normalize = self._vec_normalize_env
        # Rewards that are switched off have no unit: what VecNormalize divides them by goes to zero.
        if normalize is None or not normalize.norm_reward or not self.tracker.window.returns.any():
            return 1.0
        return math.sqrt(float(normalize.ret_rms.var) + normalize.epsilon)

    def _log_bonus(self, coef: float, effective: float, values: NDArray[np.float64]) -> None:
        """
        :param coef: λ as it was asked for
        :param effective: λ in the unit of the buffer's rewards
        :param values: (k,) h of the episodes that have just finished
        """
        self.logger.record("wasserstein/coef", coef)
        self.logger.record("wasserstein/coef_effective", effective)
        rollout = self.tracker.rollout
        if rollout is None or not rollout.episodes:
            return
        returns = np.array([episode.episode_return for episode in rollout.episodes])
        if returns.any():
            bonus = np.abs(effective * self._reward_divisor() * values).mean()
            self.logger.record("wasserstein/bonus_to_return", float(bonus / np.abs(returns).mean()))

    def save(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """SB3's; its arguments are the parent's. A file is there whole or not at all."""
        self.wasserstein_config = self.tracker.config()
        for name in ("multiplier", "multiplier_options"):
            if getattr(self, name) is not None:
                self.wasserstein_config[name] = asdict(getattr(self, name))
        before = _IS_SAVING.set(True)
        try:
            parent = super().save
            save_model(path, lambda place: parent(place, *args, **kwargs))
        finally:
            _IS_SAVING.reset(before)

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """SB3's: what is known of the behaviour is saved with the model, but is none of its parameters."""
        params = super().get_parameters()
        if _IS_SAVING.get():
            return params
        return {name: state for name, state in params.items() if name not in self._states}

    def set_parameters(
        self, load_path_or_dict: str | TensorDict, exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        """SB3's. Where the parameters hold no behaviour (a plain PPO's do not), the present one stays."""
        params = load_path_or_dict
        if not isinstance(params, dict):
            _, params, _ = load_from_zip_file(params, device=device, load_data=False)
        ours = set(self._states)
        has_behaviour, keeps = bool(ours & params.keys()), ours <= set(self._get_torch_save_params()[0])
        if not keeps:
            params = {name: state for name, state in params.items() if name not in self._states}
        elif not has_behaviour:
            params = {**params, **{name: getattr(self, name).state_dict() for name in ours}}
        super().set_parameters(params, exact_match, device)
        if keeps and has_behaviour:
            self.tracker.settle()

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "tracker", "multiplier", "multiplier_options"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        is_kept_alone = self._has_target and not self.tracker.config().get("is_member")
        # A member's behaviour is its population's to keep: saved alone it is a model as any other.
        return [*state_dicts, *(self._states if is_kept_alone else ())], variables


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
    if callable(coefficient) and isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"wasserstein_coef must be finite; the schedule {coefficient!r} returned {value!r}")
    return check_number("wasserstein_coef", value)
