"""Search space: the ranges and choices of `search.space`, validated before any trial."""

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
from hpa.config.effects import ONLY_IF, UNLESS, has_effect
from hpa.config.params import KEYS, Params, changed_params
from hpa.errors import UserError, did_you_mean

SECTIONS = ("model", "loss", "augment", "train")
FIXED = ("train.fold", "train.seed", "train.backend", "train.checkpoint_every")
"""Parameters that are never searched: of folds and seeds the best would only be the luckiest, one
process has one backend, and checkpoints decide no value."""
NULL_IF_UNUSED = ("loss.alpha", "train.repeats")
"""Conditional parameters that must be null if their condition does not hold."""

Space = dict[str, BaseDistribution]


def read_space(params: Params) -> Space:
    """Return distributions by dotted key, each key after the one it depends on.

    Raises:
        UserError: a key cannot be searched, or a range or choice is invalid or lacks the current
            value; one error lists all problems.
    """
    space: Space = {}
    problems: list[str] = []
    for key, stated in flat_space(params.search.space).items():
        try:
            space[key] = _distribution(key, stated, params)
        except ValueError as error:
            problems.append(f"search.space.{key}: {error}")
    if problems or not space:
        raise UserError(
            "search.space is invalid",
            expected="a list, or low and high, for parameters of model, loss, augment or train",
            received="\n    ".join(["", *problems]) if problems else "an empty space",
            remedy="fix these keys in params.yaml",
        )
    return dict(sorted(space.items(), key=lambda item: item[0] in ONLY_IF or item[0] in UNLESS))


def suggest(trial: optuna.Trial, space: Space, params: Params) -> dict[str, Any]:
    """Suggest values by dotted key, without parameters whose condition does not hold."""
    values: dict[str, Any] = {}
    for key, distribution in space.items():
        if _applies(key, values, params):
            values[key] = _suggest(trial, key, distribution)
    return with_nulls(values, params)


def current(space: Space, params: Params) -> dict[str, Any]:
    """Return the values of a trial with the current parameters."""
    flat = params.flat()
    return {key: flat[key] for key in space if _applies(key, {}, params)}


def trial_params(params: Params, values: Mapping[str, Any]) -> Params:
    """Return all parameters of a trial, with its values and its shorter training.

    Raises:
        UserError: the values contradict each other.
    """
    n_steps = params.search.trial_steps or params.train.n_steps
    every = math.ceil(n_steps / params.search.trial_rounds)
    length = {"train.n_steps": n_steps, "train.validate_every": every}
    return changed_params(params, {**values, **length})


def _applies(key: str, values: Mapping[str, Any], params: Params) -> bool:
    return has_effect(key, {**params.flat(), **values})


def with_nulls(values: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Add null for unused parameters that must be null."""
    unused = [key for key in NULL_IF_UNUSED if not _applies(key, values, params)]
    return {**values, **dict.fromkeys(unused)}


def _suggest(trial: optuna.Trial, key: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(key, distribution.low, distribution.high, log=distribution.log)


def flat_space(space: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten to dotted keys; values that are not sections stay, to be refused later."""
    flat: dict[str, Any] = {}
    for section, keys in space.items():
        if isinstance(keys, Mapping):
            flat |= {f"{section}.{name}": stated for name, stated in keys.items()}
        else:
            flat[str(section)] = keys
    return flat


def range_in_words(stated: Any) -> str:
    """Return a range or a list of choices of `search.space` as text."""
    if isinstance(stated, Mapping):
        scale = " (log)" if stated.get("log") else ""
        return f"{stated.get('low')} to {stated.get('high')}{scale}"
    return repr(stated)


def _distribution(key: str, stated: Any, params: Params) -> BaseDistribution:
    """Parse a range or a list of choices; raise ValueError if it is invalid."""
    if key not in KEYS or key.partition(".")[0] not in SECTIONS or key in FIXED:
        known = [each for each in KEYS if each.partition(".")[0] in SECTIONS]
        raise ValueError(f"not a parameter that can be searched{did_you_mean(key, known)}")
    if isinstance(stated, list) and stated:
        _require_allowed(key, stated, params)
        found: BaseDistribution = CategoricalDistribution(stated)
    elif isinstance(stated, Mapping) and {"low", "high"} <= {*stated} <= {"low", "high", "log"}:
        _require_allowed(key, [stated["low"], stated["high"]], params)
        found = _range(stated, whole=isinstance(params.flat()[key], int))
    else:
        raise ValueError(f"expected a list, or low, high and optionally log, received {stated!r}")
    value = params.flat()[key]
    if _applies(key, {}, params) and not _holds(found, value):
        raise ValueError(f"expected a list or range that contains the current value {value!r}")
    return found


def _range(stated: Mapping[str, Any], *, whole: bool) -> BaseDistribution:
    low, high, log = float(stated["low"]), float(stated["high"]), stated.get("log", False)
    if not low < high or not isinstance(log, bool) or (log and low <= 0):
        raise ValueError(
            "expected low less than high, log true or false, and low above 0 if log is true, "
            f"received {dict(stated)!r}"
        )
    if whole:
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _require_allowed(key: str, values: list[Any], params: Params) -> None:
    """Validate each value together with its condition."""
    other, wanted = ONLY_IF.get(key, (key, values))
    condition = {other: wanted[0]}
    for value in values:
        try:
            changed_params(params, with_nulls({**condition, key: value}, params))
        except UserError as error:
            allowed = validation.expectations(Params)[key]
            raise ValueError(f"expected {allowed}, received {value!r}") from error


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high
