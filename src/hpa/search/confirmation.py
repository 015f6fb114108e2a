"""Confirm the best trial: compare it with the current parameters over several seeds.

Both are trained at full length with the same seeds and compared on val by cross-fitted decisions
and a bootstrap of whole groups. Test images take no part.
"""

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hpa.config.folders import PACKED_DIR, SPLIT_DIR
from hpa.config.params import Params
from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.metrics.bootstrap import bootstrap_f1, interval, too_few
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import macro_f1
from hpa.search.decision_text import decode_decisions
from hpa.search.space import SECTIONS, with_nulls
from hpa.search.study import VALUE, Study, begin_comparison
from hpa.system.files import atomic_path, digest

CURRENT, BEST = "current", "best"


@dataclass(frozen=True)
class SeedComparison:
    """Macro F1 on val of two parameter sets, each trained with the same seeds.

    Attributes:
        seeds: of the trainings.
        current, best: macro F1 per seed.
        difference: of their means, best minus current.
        interval: 95 % interval of the difference over images; seeds are averaged. None if there
            are too few positives for one.
        probability_better: fraction of draws in which the best is ahead.
    """

    seeds: list[int]
    current: list[float]
    best: list[float]
    difference: float
    interval: list[float] | None
    probability_better: float

    @property
    def n_ahead(self) -> int:
        """Number of seeds with which the best is ahead."""
        return sum(b > a for a, b in zip(self.current, self.best, strict=True))


@dataclass(frozen=True)
class Confirmation:
    """The best trial and its comparison with the current parameters.

    Attributes:
        study: name.
        trial: number of the best trial.
        value: cross-fitted macro F1 on val; biased upwards, as the maximum of many.
        params: values by dotted key that differ from the current parameters.
        comparison: None if nothing differs.
    """

    study: str
    trial: int
    value: float
    params: dict[str, Any]
    comparison: SeedComparison | None

    @property
    def is_better(self) -> bool:
        """True if the interval of the difference is above zero."""
        found = self.comparison.interval if self.comparison else None
        return found is not None and found[0] > 0

    @property
    def command(self) -> str:
        """Command that runs the pipeline with these parameters."""
        if not self.params:
            return "dvc repro"
        words = [f"{key}={_as_yaml(value)}" for key, value in self.params.items()]
        return shlex.join(["dvc", "exp", "run", *(part for w in words for part in ("-S", w))])

    def write(self, path: Path) -> None:
        """Write as YAML, atomically."""
        document = {
            "study": self.study,
            "trial": self.trial,
            VALUE: self.value,
            "better": self.is_better,
            "params": self.params,
            "comparison": asdict(self.comparison) if self.comparison else None,
            "command": self.command,
        }
        with atomic_path(path) as temporary:
            text = yaml.safe_dump(document, sort_keys=False, width=1000)
            temporary.write_text(text, encoding="utf-8")


def confirm_best(study: Study, work: Callable[[Study], None]) -> Confirmation:
    """Train the best trial's parameters and the current ones with several seeds, and compare.

    `work` runs the trials of a study.
    """
    best, flat = study.optuna.best_trial, study.params.flat()
    suggested = with_nulls(best.params, study.params)
    values = {key: value for key, value in suggested.items() if value != flat[key]}
    comparison = _compare(study, best.number, values, work) if values else None
    return Confirmation(study.name, best.number, float(best.values[0]), values, comparison)


def compare_seeds(
    y_true: np.ndarray,
    groups: np.ndarray,
    current: list[np.ndarray],
    best: list[np.ndarray],
    *,
    seeds: list[int],
    seed: int,
    n: int,
) -> SeedComparison:
    """Compare the decisions of trainings by a paired bootstrap of whole groups.

    Args:
        y_true: uint8[N,C].
        groups: integers [N].
        current, best: uint8[N,C] per training, in the order of `seeds`.
        seeds: of the trainings.
        seed, n: of the bootstrap: seed and number of draws.
    """

    def draws(predictions: list[np.ndarray]) -> np.ndarray:
        by_seed = [bootstrap_f1(y_true, y, groups, seed=seed, n=n).macro for y in predictions]
        return np.asarray(np.mean(by_seed, axis=0))

    def scores(predictions: list[np.ndarray]) -> list[float]:
        return [macro_f1(count_outcomes(y_true, y_pred)) for y_pred in predictions]

    differences = draws(best) - draws(current)
    current_f1, best_f1 = scores(current), scores(best)
    difference = float(np.mean(best_f1) - np.mean(current_f1))
    known = not too_few(y_true, groups)
    return SeedComparison(
        seeds=seeds,
        current=current_f1,
        best=best_f1,
        difference=difference,
        interval=list(interval(difference, differences, lowest=-1)) if known else None,
        probability_better=float(np.mean(differences > 0) + np.mean(differences == 0) / 2)
        if known
        else 0.5,
    )


def _compare(
    study: Study, number: int, values: dict[str, Any], work: Callable[[Study], None]
) -> SeedComparison:
    params = study.params
    name = _name(study.name, number, params, values)
    comparison = begin_comparison(study, {CURRENT: {}, BEST: values}, name)
    work(comparison)
    index, assignment = read_index(PACKED_DIR), read_assignment(SPLIT_DIR, params.train.fold)
    is_val = (assignment["split"] == "val").to_numpy()
    y_true = read_vocabulary(PACKED_DIR).labels.indicators(index["Target"][is_val])
    decisions: dict[str, dict[int, np.ndarray]] = {CURRENT: {}, BEST: {}}
    for trial in comparison.trials():
        if "y_pred" in trial.user_attrs:
            y_pred = decode_decisions(trial.user_attrs["y_pred"], y_true.shape)
            decisions[trial.params["candidate"]][trial.params["train.seed"]] = y_pred
    seeds = sorted(decisions[CURRENT].keys() & decisions[BEST].keys())
    return compare_seeds(
        y_true,
        assignment["group"].to_numpy()[is_val],
        *([decisions[name][seed] for seed in seeds] for name in (CURRENT, BEST)),
        seeds=seeds,
        seed=params.evaluate.seed,
        n=params.evaluate.n_bootstrap,
    )


def _name(study: str, number: int, params: Params, values: dict[str, Any]) -> str:
    """Name a comparison after both parameter sets: other current ones start a new comparison."""
    flat = params.flat()
    sections = (*SECTIONS, "score", "threshold")
    current = {key: flat[key] for key in flat if key.partition(".")[0] in sections}
    sides = digest([current, current | values])[:12]
    return f"{study}: trial {number} against current, {sides}"


def _as_yaml(value: Any) -> str:
    """Format a value for `dvc exp run -S`."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def as_text(confirmation: Confirmation) -> str:
    """Describe a confirmation in a few lines."""
    value = f"macro F1 {confirmation.value:.4f}, cross-fitted on val"
    lines = [f"trial {confirmation.trial} is the best: {value}"]
    if confirmation.comparison is None:
        lines.append("these are the current parameters: the search found nothing better")
        return "\n".join(lines)
    result = confirmation.comparison
    interval = "no interval: too few positives"
    if result.interval is not None:
        interval = "95 % interval {:+.4f} to {:+.4f}".format(*result.interval)
    verdict = "better" if confirmation.is_better else "not shown to be better"
    lines += [
        f"at full length, mean of {len(result.seeds)} seeds: {np.mean(result.best):.4f}, the "
        f"current parameters {np.mean(result.current):.4f}",
        f"difference {result.difference:+.4f}, {interval}, ahead "
        f"with {result.n_ahead} of {len(result.seeds)} seeds: {verdict}",
        f"run the pipeline with its parameters: {confirmation.command}",
    ]
    return "\n".join(lines)
