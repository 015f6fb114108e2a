"""Axes of figures: names in words, places of values, ticks."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState


def in_words(key: str) -> str:
    """Return a dotted key as words: `loss.gamma_negative` is `loss: gamma negative`."""
    return key.replace(".", ": ").replace("_", " ")


def as_text(value: Any) -> str:
    """Return a parameter's value as params.yaml writes it, floats with four digits."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def wrapped(text: str, width: int = 22) -> str:
    """Break a text into lines, within a word if it must be."""
    return "<br>".join(textwrap.wrap(text, width))


def is_logarithmic(distribution: BaseDistribution) -> bool:
    """Tell whether a range is sampled on a logarithmic scale."""
    return bool(getattr(distribution, "log", False))


def place(value: Any, distribution: BaseDistribution) -> float:
    """Return the place of a value on its axis: of a choice, its number."""
    if isinstance(distribution, CategoricalDistribution):
        return [as_text(choice) for choice in distribution.choices].index(as_text(value))
    return float(value)


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten within a range, or 1, 2 and 5 times them if there are fewer than two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside = [[m * 10.0**p for p in powers for m in steps] for steps in ((1,), (1, 2, 5))]
    tens, finer = ([tick for tick in ticks if low <= tick <= high] for ticks in inside)
    return tens if len(tens) > 1 else finer or [low, high]


def whole_numbers(numbers: Sequence[int]) -> dict[str, Any]:
    """Return settings of an axis that has ticks at whole numbers only."""
    few = max(numbers) - min(numbers) < 10
    return {"tickformat": "d", **({"dtick": 1} if few else {"nticks": 8})}


def complete_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Select the trials with a value."""
    return [trial for trial in trials if trial.state is TrialState.COMPLETE]


def value_of(trial: FrozenTrial) -> float:
    """Return the value of a complete trial."""
    return float(trial.values[0])
