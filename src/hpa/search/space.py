"""What a trial may change: the ranges and choices of `search.space`, checked before any trial."""

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpa.config import validation
from hpa.config.params import KEYS, Params, changed_params
from hpa.errors import UserError

SECTIONS = ("model", "loss", "augment", "train")
LUCK = ("train.fold", "train.seed")
"""What decides luck, not the recipe: the best of many is the luckiest."""
BESIDE = {
    "loss.gamma": ("loss.name", "focal"),
    "loss.alpha": ("loss.name", "focal"),
    "loss.gamma_negative": ("loss.name", "asymmetric"),
    "loss.gamma_positive": ("loss.name", "asymmetric"),
    "loss.margin": ("loss.name", "asymmetric"),
    "train.oversampling_threshold": ("train.oversampling", "square_root"),
    "train.repeats": ("train.oversampling", "stated"),
    "train.n_cycles": ("train.schedule", "cycles"),
    "train.cycle_growth": ("train.schedule", "cycles"),
    "train.cycle_decay": ("train.schedule", "cycles"),
}
"""The other parameter beside whose value alone a parameter means anything."""
ELSE_NULL = ("loss.alpha", "train.repeats")
"""What must be null where it means nothing."""

Space = dict[str, BaseDistribution]


def read_space(params: Params) -> Space:
    """Return what Optuna draws from by dotted key, every key after the one it depends on.

    Raises:
        UserError: a key that no trial may change, a range or choice that the parameter does not
            allow, or one without the current value; all in one error.
    """
    space: Space = {}
    problems: list[str] = []
    for key, stated in _flat(params.search.space).items():
        try:
            space[key] = _distribution(key, stated, params)
        except ValueError as error:
            problems.append(f"search.space.{key}: {error}")
    if problems or not space:
        raise UserError(
            "search.space cannot be drawn from",
            expected="for parameters of model, loss, augment and train a list, or low and high",
            received="\n    ".join(["", *problems]) if problems else "nothing to draw",
            remedy="mend the keys above in params.yaml",
        )
    return dict(sorted(space.items(), key=lambda item: item[0] in BESIDE))


def suggest(trial: optuna.Trial, space: Space, params: Params) -> dict[str, Any]:
    """Draw a trial's values by dotted key; what means nothing beside the others is not drawn."""
    values: dict[str, Any] = {}
    for key, distribution in space.items():
        if _means_something(key, values, params):
            values[key] = _draw(trial, key, distribution)
    return with_nulls(values, params)


def current(space: Space, params: Params) -> dict[str, Any]:
    """Return what a trial with the parameters as they are would draw."""
    flat = params.flat()
    return {key: flat[key] for key in space if _means_something(key, {}, params)}


def trial_params(params: Params, values: Mapping[str, Any]) -> Params:
    """Return all parameters of a trial: its own values, and its own length.

    Raises:
        UserError: they contradict one another.
    """
    n_steps = params.search.trial_steps or params.train.n_steps
    every = math.ceil(n_steps / params.search.trial_rounds)
    length = {"train.n_steps": n_steps, "train.validate_every": every}
    return changed_params(params, {**values, **length})


def _means_something(key: str, values: Mapping[str, Any], params: Params) -> bool:
    if key not in BESIDE:
        return True
    other, wanted = BESIDE[key]
    return bool({**params.flat(), **values}[other] == wanted)


def with_nulls(values: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Add what must be null beside the values that a trial drew."""
    idle = [key for key in ELSE_NULL if not _means_something(key, values, params)]
    return {**values, **dict.fromkeys(idle)}


def _draw(trial: optuna.Trial, key: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(key, distribution.low, distribution.high, log=distribution.log)


def _flat(space: Mapping[str, Any]) -> dict[str, Any]:
    """Give each range its dotted key; what is no section of keys stays, to be refused."""
    flat: dict[str, Any] = {}
    for section, keys in space.items():
        if isinstance(keys, Mapping):
            flat |= {f"{section}.{name}": stated for name, stated in keys.items()}
        else:
            flat[str(section)] = keys
    return flat


def _distribution(key: str, stated: Any, params: Params) -> BaseDistribution:
    """Read a range or a list of choices; a ValueError says what is wrong with it."""
    if key not in KEYS or key.partition(".")[0] not in SECTIONS or key in LUCK:
        known = [each for each in KEYS if each.partition(".")[0] in SECTIONS]
        raise ValueError(f"no parameter that trials may change{validation.nearest(key, known)}")
    if isinstance(stated, list) and stated:
        _require_allowed(key, stated, params)
        found: BaseDistribution = CategoricalDistribution(stated)
    elif isinstance(stated, Mapping) and {"low", "high"} <= {*stated} <= {"low", "high", "log"}:
        _require_allowed(key, [stated["low"], stated["high"]], params)
        found = _range(stated, whole=isinstance(params.flat()[key], int))
    else:
        raise ValueError(f"expected a list, or low, high and maybe log, received {stated!r}")
    value = params.flat()[key]
    if _means_something(key, {}, params) and not _holds(found, value):
        raise ValueError(f"expected a choice or range with the current value {value!r} in it")
    return found


def _range(stated: Mapping[str, Any], *, whole: bool) -> BaseDistribution:
    low, high, log = float(stated["low"]), float(stated["high"]), stated.get("log", False)
    if not low < high or not isinstance(log, bool) or (log and low <= 0):
        raise ValueError(
            "expected low less than high, log true or false, and with log a low above 0, "
            f"received {dict(stated)!r}"
        )
    if whole:
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _require_allowed(key: str, values: list[Any], params: Params) -> None:
    """Try each value with the other one that gives it a meaning."""
    beside = dict([BESIDE[key]]) if key in BESIDE else {}
    hint = validation.field_hints(Params)[key]
    for value in values:
        try:
            changed_params(params, with_nulls({**beside, key: value}, params))
        except UserError as error:
            allowed = validation.describe(hint)
            raise ValueError(f"expected {allowed}, received {value!r}") from error


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high
