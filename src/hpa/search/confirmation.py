"""Is the best trial's recipe better than the current parameters? Several seeds of each judge.

Both are trained in full length with the same seeds; val rows are decided by thresholds that were
fitted without them, and whole groups of images are drawn. Test takes part in no choice.
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
from hpa.data.packed import read_index
from hpa.data.splits.assignment import read_assignment
from hpa.labels import indicator_matrix
from hpa.metrics.bootstrap import bootstrap_f1, percentile_interval
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import macro_f1
from hpa.search.decision_text import from_text
from hpa.search.space import SECTIONS, with_nulls
from hpa.search.study import VALUE, Study, begin_comparison
from hpa.system.files import atomic_path, digest

CURRENT, BEST = "current", "best"


@dataclass(frozen=True)
class SeedComparison:
    """Macro F1 on val of two recipes, each trained with the same seeds.

    Attributes:
        seeds: of the trainings.
        current, best: macro F1 a seed.
        difference: of their means, best minus current.
        interval: of the difference, 95 %: the luck of the images; that of the seeds is averaged.
        probability_better: share of the draws in which the best is ahead.
    """

    seeds: list[int]
    current: list[float]
    best: list[float]
    difference: float
    interval: list[float]
    probability_better: float


@dataclass(frozen=True)
class Winner:
    """The best trial and what is known of it.

    Attributes:
        trial: its number.
        value: cross-fitted macro F1 on val, the highest of many and so a lucky one.
        params: its values by dotted key; those that differ from the current parameters.
        comparison: None where nothing differs.
    """

    study: str
    trial: int
    value: float
    params: dict[str, Any]
    comparison: SeedComparison | None

    @property
    def is_better(self) -> bool:
        """Whether the interval of the difference lies above zero."""
        return self.comparison is not None and self.comparison.interval[0] > 0

    @property
    def command(self) -> str:
        """What runs the pipeline with its parameters."""
        if not self.params:
            return "dvc repro"
        words = [f"{key}={_spelt(value)}" for key, value in self.params.items()]
        return shlex.join(["dvc", "exp", "run", *(part for w in words for part in ("-S", w))])

    def write(self, path: Path) -> None:
        """Write it as YAML, whole or not at all."""
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


def find_winner(study: Study, work: Callable[[Study], None]) -> Winner:
    """Take the best trial and train it against the current parameters.

    Args:
        study: done.
        work: does the trials of a study.
    """
    best, flat = study.best(), study.params.flat()
    drawn = with_nulls(best.params, study.params)
    values = {key: value for key, value in drawn.items() if value != flat[key]}
    comparison = _compare(study, best.number, values, work) if values else None
    return Winner(study.name, best.number, float(best.values[0]), values, comparison)


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
    """Compare the decisions of trainings by paired draws of whole groups.

    Args:
        y_true: uint8[N,28].
        groups: integers [N].
        current, best: uint8[N,28] a training, in the order of `seeds`.
        seeds: of the trainings.
        seed: of the draws.
        n: draws.
    """

    def draw(decided: list[np.ndarray]) -> np.ndarray:
        drawn = [bootstrap_f1(y_true, each, groups, seed=seed, n=n).macro for each in decided]
        return np.asarray(np.mean(drawn, axis=0))

    def judge(decided: list[np.ndarray]) -> list[float]:
        return [macro_f1(count_outcomes(y_true, each)) for each in decided]

    differences, scores = draw(best) - draw(current), (judge(current), judge(best))
    return SeedComparison(
        seeds=seeds,
        current=scores[0],
        best=scores[1],
        difference=float(np.mean(scores[1]) - np.mean(scores[0])),
        interval=list(percentile_interval(differences)),
        probability_better=float(np.mean(differences > 0) + np.mean(differences == 0) / 2),
    )


def _compare(
    study: Study, number: int, values: dict[str, Any], work: Callable[[Study], None]
) -> SeedComparison:
    params = study.params
    name = _name(study.name, number, params, values)
    judging = begin_comparison(study, {CURRENT: {}, BEST: values}, name)
    work(judging)
    index, assignment = read_index(PACKED_DIR), read_assignment(SPLIT_DIR, params.train.fold)
    is_val = (assignment["split"] == "val").to_numpy()
    y_true = indicator_matrix(index["Target"][is_val])
    decided: dict[str, dict[int, np.ndarray]] = {CURRENT: {}, BEST: {}}
    for trial in judging.trials():
        if "y_pred" in trial.user_attrs:
            y_pred = from_text(trial.user_attrs["y_pred"], len(y_true))
            decided[trial.params["candidate"]][trial.params["train.seed"]] = y_pred
    seeds = sorted(decided[CURRENT].keys() & decided[BEST].keys())
    return compare_seeds(
        y_true,
        assignment["group"].to_numpy()[is_val],
        *([decided[name][seed] for seed in seeds] for name in (CURRENT, BEST)),
        seeds=seeds,
        seed=params.evaluate.seed,
        n=params.evaluate.n_bootstrap,
    )


def _name(study: str, number: int, params: Params, values: dict[str, Any]) -> str:
    """Name a comparison by what both sides are: other current parameters begin another one."""
    flat = params.flat()
    sections = (*SECTIONS, "score", "threshold")
    current = {key: flat[key] for key in flat if key.partition(".")[0] in sections}
    sides = digest([current, current | values])[:12]
    return f"{study}: trial {number} against current, {sides}"


def _spelt(value: Any) -> str:
    """Spell a value for `dvc exp run -S`."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def as_text(winner: Winner) -> str:
    """Say in some lines what was found."""
    lines = [f"trial {winner.trial} is the best: {VALUE} {winner.value:.4f}"]
    if winner.comparison is None:
        return "\n".join([*lines, "these are the current parameters: nothing better was found"])
    found = winner.comparison
    low, high = found.interval
    ahead = sum(b > a for a, b in zip(found.current, found.best, strict=True))
    verdict = "better" if winner.is_better else "not shown to be better"
    return "\n".join(
        [
            *lines,
            f"in full length, mean of {len(found.seeds)} seeds: {np.mean(found.best):.4f}, the "
            f"current parameters {np.mean(found.current):.4f}",
            f"difference {found.difference:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}, ahead "
            f"with {ahead} of {len(found.seeds)} seeds: {verdict}",
            winner.command,
        ]
    )
