"""From probabilities to decisions: one threshold a class, chosen without the network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpa.errors import UserError
from hpa.labels import LABELS, N_LABELS
from hpa.scoring.counts import count_outcomes
from hpa.scoring.metrics import f1
from hpa.scoring.ranking import Ranking, rank_scores, sweep
from hpa.scoring.scores import check_probabilities

FEW_POSITIVES = 10
"""Below this many positives a tuned threshold is luck: one row moves F1 by up to a tenth."""

SWEEP, FIXED, NO_POSITIVES, NO_CUT = "sweep", "fixed", "no positives", "no cut"


@dataclass(frozen=True, eq=False)
class PlainRule:
    """What the same rows are worth under a rule that chooses next to nothing.

    Attributes:
        values: its thresholds, float64[28], strictly inside (0,1).
        fit_macro_f1: on the rows they were fitted to, optimistic.
        cross_fitted_macro_f1: every row judged by thresholds fitted without it.
    """

    values: np.ndarray
    fit_macro_f1: float
    cross_fitted_macro_f1: float

    def __post_init__(self) -> None:
        _check_values(self.values)

    def predict(self, y_prob: np.ndarray) -> np.ndarray:
        """Decide: y_pred uint8[N,28] from y_prob floating [N,28] in [0,1]."""
        return _decide(y_prob, self.values)


@dataclass(frozen=True, eq=False)
class Thresholds:
    """One threshold a class, with how it came about.

    Attributes:
        values: float64[28], strictly inside (0,1); a class is predicted where y_prob >= value.
        rule: how each value was chosen: a name of `hpa.scoring.rules`, "no positives" or "no cut".
        support: positives of the fit set, int64[28].
        fit_f1: F1 on the fit set, float64[28], optimistic; 0.0 for a class without positives.
        cross_fitted_f1: F1 with every row judged by thresholds fitted without it, the choice of
            the rule included, float64[28]: what new rows may be expected to give.
        flags: what to distrust about each class, often nothing.
        plain: the plain rules on the same rows, by name: "fixed", "global", "sweep".
    """

    values: np.ndarray
    rule: tuple[str, ...]
    support: np.ndarray
    fit_f1: np.ndarray
    cross_fitted_f1: np.ndarray
    flags: tuple[tuple[str, ...], ...]
    plain: Mapping[str, PlainRule]

    def __post_init__(self) -> None:
        for name in ("rule", "support", "fit_f1", "cross_fitted_f1", "flags"):
            _check_length(f"thresholds.{name}", getattr(self, name))
        _check_values(self.values)

    @property
    def fit_macro_f1(self) -> float:
        """Macro F1 on the fit set: optimistic, no promise for other rows."""
        return float(self.fit_f1.mean())

    @property
    def cross_fitted_macro_f1(self) -> float:
        """Macro F1 to be expected on new rows of the same kind."""
        return float(self.cross_fitted_f1.mean())

    def predict(self, y_prob: np.ndarray) -> np.ndarray:
        """Decide: y_pred uint8[N,28] from y_prob floating [N,28] in [0,1]."""
        return _decide(y_prob, self.values)

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts for `json.dump`, keyed by label name in the competition's order."""
        columns = (self.values, self.rule, self.support, self.fit_f1, self.cross_fitted_f1)
        rows = [
            [*(np.asarray(column)[index].item() for column in columns), list(self.flags[index])]
            for index in range(N_LABELS)
        ]
        return {
            "fit_macro_f1": self.fit_macro_f1,
            "cross_fitted_macro_f1": self.cross_fitted_macro_f1,
            "classes": dict(
                zip(LABELS, (dict(zip(_CLASS, r, strict=True)) for r in rows), strict=True)
            ),
            "plain": {name: _plain_to_json(rule) for name, rule in self.plain.items()},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Thresholds":
        """Read what `to_json` returned, exactly; the order of labels is free."""
        _check_keys("thresholds", document, _DOCUMENT)
        _check_keys("thresholds.classes", document["classes"], LABELS)
        rows = [document["classes"][label] for label in LABELS]
        for label, row in zip(LABELS, rows, strict=True):
            _check_keys(f"thresholds.classes.{label}", row, _CLASS)
        return cls(
            values=np.array([row["threshold"] for row in rows], dtype=np.float64),
            rule=tuple(row["rule"] for row in rows),
            support=np.array([row["support"] for row in rows], dtype=np.int64),
            fit_f1=np.array([row["fit_f1"] for row in rows], dtype=np.float64),
            cross_fitted_f1=np.array([row["cross_fitted_f1"] for row in rows], dtype=np.float64),
            flags=tuple(tuple(row["flags"]) for row in rows),
            plain={name: _plain_from_json(name, rule) for name, rule in document["plain"].items()},
        )


_DOCUMENT = ("fit_macro_f1", "cross_fitted_macro_f1", "classes", "plain")
_CLASS = ("threshold", "rule", "support", "fit_f1", "cross_fitted_f1", "flags")
_PLAIN = ("fit_macro_f1", "cross_fitted_macro_f1", "thresholds")


def _plain_to_json(rule: PlainRule) -> dict[str, Any]:
    thresholds = dict(zip(LABELS, rule.values.tolist(), strict=True))
    return dict(
        zip(_PLAIN, (rule.fit_macro_f1, rule.cross_fitted_macro_f1, thresholds), strict=True)
    )


def _plain_from_json(name: str, document: Mapping[str, Any]) -> PlainRule:
    _check_keys(f"thresholds.plain.{name}", document, _PLAIN)
    _check_keys(f"thresholds.plain.{name}.thresholds", document["thresholds"], LABELS)
    values = np.array([document["thresholds"][label] for label in LABELS], dtype=np.float64)
    return PlainRule(values, document["fit_macro_f1"], document["cross_fitted_macro_f1"])


def fit_thresholds(y_true: np.ndarray, y_prob: np.ndarray, *, seed: int = 0) -> Thresholds:
    """Choose each class's threshold for the best F1 on these rows, by the exact sweep.

    A class that no cut can find (no positives, or all of them at score 0) gets the number just
    above its largest score: it is predicted nowhere here (but where that score is 1), yet a score
    beyond all that is known to be negative counts as evidence, and macro F1 can only gain by it.

    Args:
        y_true: uint8[N,28].
        y_prob: floating [N,28] in [0,1].
        seed: of the folds.
    """
    return _fitted(y_true, y_prob, SWEEP, _swept, seed)


def fixed_thresholds(y_true: np.ndarray, y_prob: np.ndarray, value: float) -> Thresholds:
    """Give every class the same threshold, in (0,1); the rows only tell what it is worth there."""
    return _fitted(y_true, y_prob, FIXED, lambda _: np.full(N_LABELS, value), 0)


def _fitted(
    y_true: np.ndarray,
    y_prob: np.ndarray,
    name: str,
    rule: Callable[[Ranking], np.ndarray],
    seed: int,
) -> Thresholds:
    ranking = rank_scores(y_true, y_prob)
    fit_f1, cross_fitted_f1 = _worth(y_true, y_prob, rule, seed)
    support = ranking.support
    found = fit_f1 > 0
    names = np.where(found, name, np.where(support == 0, NO_POSITIVES, NO_CUT)).tolist()
    plain = {}
    for each, plain_rule in ((FIXED, lambda _: np.full(N_LABELS, 0.5)), (SWEEP, _swept)):
        fit, cross_fitted = _worth(y_true, y_prob, plain_rule, seed)
        plain[each] = PlainRule(plain_rule(ranking), float(fit.mean()), float(cross_fitted.mean()))
    flags = tuple(_flags(*pair) for pair in zip(names, support, strict=True))
    return Thresholds(rule(ranking), tuple(names), support, fit_f1, cross_fitted_f1, flags, plain)


def _swept(ranking: Ranking) -> np.ndarray:
    values, found = sweep(ranking)
    return np.where(found > 0, values, _just_above(ranking.scores[:, 0]))


def _worth(
    y_true: np.ndarray, y_prob: np.ndarray, rule: Callable[[Ranking], np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return F1 on the fit rows and F1 of each row judged without it, float64[28] both."""
    fold = np.random.default_rng(seed).permutation(len(y_true)) % 5
    held_out = np.empty_like(y_true)
    for each in range(5):
        rest = fold != each
        if not rest.any():
            rest = ~rest
        values = rule(rank_scores(y_true[rest], y_prob[rest]))
        held_out[fold == each] = _decide(y_prob[fold == each], values)
    fitted = _decide(y_prob, rule(rank_scores(y_true, y_prob)))
    return f1(count_outcomes(y_true, fitted)), f1(count_outcomes(y_true, held_out))


def _decide(y_prob: np.ndarray, values: np.ndarray) -> np.ndarray:
    check_probabilities("y_prob", y_prob)
    return (y_prob.astype(np.float32) >= values).astype(np.uint8)


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


def _check_length(where: str, column: np.ndarray | Sequence[Any]) -> None:
    if len(column) != N_LABELS:
        raise UserError(
            f"{where} has the wrong length",
            expected=f"{N_LABELS}, one a label",
            received=f"{len(column)}",
            remedy="fit the thresholds again",
        )


def _check_values(values: np.ndarray) -> None:
    _check_length("thresholds.values", values)
    for label, value in zip(LABELS, values, strict=True):
        if not 0 < value < 1:
            raise UserError(
                f"the threshold of {label!r} is out of range",
                expected="a number strictly between 0 and 1",
                received=f"{value}",
                remedy="correct it, or fit the thresholds again",
            )
