"""From probabilities to decisions: one threshold a class, chosen without the network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpa.errors import UserError
from hpa.labels import LABELS, N_LABELS
from hpa.scoring.counts import count_outcomes
from hpa.scoring.metrics import f1
from hpa.scoring.ranking import rank_scores, sweep
from hpa.scoring.scores import check_probabilities

FEW_POSITIVES = 10
"""Below this many positives a tuned threshold is luck: one row moves F1 by up to a tenth."""

SWEEP, FIXED, NO_POSITIVES, NO_CUT = "sweep", "fixed", "no positives", "no cut"


@dataclass(frozen=True, eq=False)
class Thresholds:
    """One threshold a class, with how it came about.

    Attributes:
        values: float64[28], strictly inside (0,1); a class is predicted where y_prob >= value.
        rule: how each value was chosen: "sweep", "fixed", "no positives" or "no cut".
        support: positives of the fit set, int64[28].
        fit_f1: F1 on the fit set, float64[28], optimistic; 0.0 for a class without positives.
        flags: what to distrust about each class, often nothing.
    """

    values: np.ndarray
    rule: tuple[str, ...]
    support: np.ndarray
    fit_f1: np.ndarray
    flags: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for name in ("values", "rule", "support", "fit_f1", "flags"):
            if len(getattr(self, name)) != N_LABELS:
                raise UserError(
                    f"thresholds.{name} has the wrong length",
                    expected=f"{N_LABELS}, one a label",
                    received=f"{len(getattr(self, name))}",
                    remedy="fit the thresholds again",
                )
        for label, value in zip(LABELS, self.values, strict=True):
            if not 0 < value < 1:
                raise UserError(
                    f"the threshold of {label!r} is out of range",
                    expected="a number strictly between 0 and 1",
                    received=f"{value}",
                    remedy="correct it, or fit the thresholds again",
                )

    @property
    def fit_macro_f1(self) -> float:
        """Macro F1 on the fit set: optimistic, no promise for other rows."""
        return float(self.fit_f1.mean())

    def predict(self, y_prob: np.ndarray) -> np.ndarray:
        """Decide: y_pred uint8[N,28] from y_prob floating [N,28] in [0,1]."""
        check_probabilities("y_prob", y_prob)
        return (y_prob.astype(np.float32) >= self.values).astype(np.uint8)

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts for `json.dump`, keyed by label name in the competition's order."""
        classes = {
            label: {
                "threshold": float(self.values[index]),
                "rule": self.rule[index],
                "support": int(self.support[index]),
                "fit_f1": float(self.fit_f1[index]),
                "flags": list(self.flags[index]),
            }
            for index, label in enumerate(LABELS)
        }
        return {"fit_macro_f1": self.fit_macro_f1, "classes": classes}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Thresholds":
        """Read what `to_json` returned, exactly; the order of labels is free."""
        _check_keys("thresholds", document, ("fit_macro_f1", "classes"))
        _check_keys("thresholds.classes", document["classes"], LABELS)
        rows = [document["classes"][label] for label in LABELS]
        for label, row in zip(LABELS, rows, strict=True):
            _check_keys(f"thresholds.classes.{label}", row, _KEYS)
        return cls(
            values=np.array([row["threshold"] for row in rows], dtype=np.float64),
            rule=tuple(row["rule"] for row in rows),
            support=np.array([row["support"] for row in rows], dtype=np.int64),
            fit_f1=np.array([row["fit_f1"] for row in rows], dtype=np.float64),
            flags=tuple(tuple(row["flags"]) for row in rows),
        )


_KEYS = ("threshold", "rule", "support", "fit_f1", "flags")


def fit_thresholds(y_true: np.ndarray, y_prob: np.ndarray) -> Thresholds:
    """Choose each class's threshold for the best F1 on these rows, by the exact sweep.

    A class that no cut can find (no positives, or all of them at score 0) gets the number just
    above its largest score: it is predicted nowhere here (but where that score is 1), yet a score
    beyond all that is known to be negative counts as evidence, and macro F1 can only gain by it.

    Args:
        y_true: uint8[N,28].
        y_prob: floating [N,28] in [0,1].
    """
    ranking = rank_scores(y_true, y_prob)
    values, fit_f1 = sweep(ranking)
    found = fit_f1 > 0
    values = np.where(found, values, _just_above(ranking.scores[:, 0]))
    unfound = np.where(ranking.support == 0, NO_POSITIVES, NO_CUT)
    rule = tuple(np.where(found, SWEEP, unfound).tolist())
    flags = tuple(_flags(*pair) for pair in zip(rule, ranking.support, strict=True))
    return Thresholds(values, rule, ranking.support, fit_f1, flags)


def fixed_thresholds(y_true: np.ndarray, y_prob: np.ndarray, value: float) -> Thresholds:
    """Give every class the same threshold, in (0,1); the rows only tell what it is worth there."""
    support = rank_scores(y_true, y_prob).support
    y_pred = (y_prob >= value).astype(np.uint8)
    flags = tuple(_flags(FIXED if n else NO_POSITIVES, n) for n in support)
    values = np.full(N_LABELS, value)
    return Thresholds(
        values, (FIXED,) * N_LABELS, support, f1(count_outcomes(y_true, y_pred)), flags
    )


def _just_above(scores: np.ndarray) -> np.ndarray:
    """Return the next float32, as float64, kept below 1 where the score itself is 1."""
    above = np.nextafter(scores.astype(np.float32), np.float32(1)).astype(np.float64)
    return np.minimum(above, np.nextafter(1.0, 0.0))


def _flags(rule: str, support: int) -> tuple[str, ...]:
    flags = [] if rule in (SWEEP, FIXED) else [rule]
    if 0 < support < FEW_POSITIVES:
        flags.append(f"fewer than {FEW_POSITIVES} positives")
    return tuple(flags)


def _check_keys(where: str, mapping: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    missing = [key for key in expected if key not in mapping]
    unknown = [key for key in mapping if key not in expected]
    if missing or unknown:
        raise UserError(
            f"{where} has the wrong keys",
            expected=", ".join(expected),
            received=f"missing {missing}, unknown {unknown}",
            remedy="write the file with the threshold stage",
        )
