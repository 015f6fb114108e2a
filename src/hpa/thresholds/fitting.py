"""From probabilities to decisions: one threshold a class, chosen without the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpa.errors import UserError
from hpa.labels import LABELS, N_LABELS
from hpa.metrics.predictions import check_probabilities
from hpa.metrics.ranking import Ranking, rank_scores
from hpa.system.files import read_json
from hpa.thresholds.blending import choose, cross_fit
from hpa.thresholds.joint_search import searched
from hpa.thresholds.rules import RULES, Rule
from hpa.thresholds.rules import fixed as fixed_value

FEW_POSITIVES = 10
"""Below this many positives a tuned threshold is luck: one row moves F1 by up to a tenth."""

NO_POSITIVES, NOT_FOUND = "no positives", "not found"
SELECTED, JOINT = "selected", "joint"
PLAIN_RULES = ("fixed", "global", "sweep")


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
        rule: how each value was chosen: a name of `hpa.thresholds.rules`, or the blend in words.
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
        _check_keys("thresholds.plain", document["plain"], PLAIN_RULES)
        return cls(
            values=_numbers("threshold", rows),
            rule=tuple(str(row["rule"]) for row in rows),
            support=_numbers("support", rows).astype(np.int64),
            fit_f1=_numbers("fit_f1", rows),
            cross_fitted_f1=_numbers("cross_fitted_f1", rows),
            flags=tuple(tuple(row["flags"] or ()) for row in rows),
            plain={name: _plain_from_json(name, rule) for name, rule in document["plain"].items()},
        )


def read_thresholds(path: Path) -> tuple[Thresholds, dict[str, Any]]:
    """Read what the threshold stage wrote.

    Returns:
        The thresholds, and what stands beside them: `run_id`, the run that chose them, and
        `score`, with `augmentation` and `merge` of the scores that they were chosen on.

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise UserError(
            f"{path} holds no thresholds",
            expected="what the threshold stage writes",
            received=f"JSON of type {type(document).__name__}",
            remedy="run it again: dvc repro threshold",
        )
    beside = {key: document.pop(key, default) for key, default in _BESIDE.items()}
    return Thresholds.from_json(document), beside


_BESIDE = {"run_id": "", "score": {"augmentation": "none", "merge": "mean_logit"}}
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
    values = _numbers(name, [{name: document["thresholds"][label]} for label in LABELS])
    return PlainRule(values, document["fit_macro_f1"], document["cross_fitted_macro_f1"])


def _numbers(key: str, rows: list[Any]) -> np.ndarray:
    """Return what stands under a key in each label's row, float64[28]."""
    for label, row in zip(LABELS, rows, strict=True):
        if not isinstance(row[key], int | float):
            raise UserError(
                f"the {key} of {label!r} is no number",
                expected="a number",
                received=f"{row[key]!r}",
                remedy="correct it, or fit the thresholds again",
            )
    return np.array([row[key] for row in rows], dtype=np.float64)


def fit_thresholds(
    y_true: np.ndarray, y_prob: np.ndarray, *, seed: int = 0, groups: np.ndarray | None = None
) -> Thresholds:
    """Choose each class's threshold by the blend of rules that holds best on rows unseen by it.

    About four seconds for 6,000 rows, most of them for `cross_fitted_f1`, where the whole choice
    is made again without each fold. The order of rows and the type of floats change nothing.

    Args:
        y_true: uint8[N,28].
        y_prob: floating [N,28] in [0,1].
        seed: of the folds and of the search.
        groups: integers [N]; rows of one group, near copies say, never judge each other. None
            where all rows are independent.

    Raises:
        UserError: no rows, shapes differ, y_true is not 0/1, y_prob not finite in [0,1], or groups
            no integer a row.
    """
    ranking = rank_scores(y_true, y_prob, groups)
    choice = choose(ranking, seed)
    held_out = cross_fit(ranking, lambda rest: choose(rest, seed).values, seed)
    return _thresholds(ranking, choice.values, choice.names, held_out, seed)


def fit_by_rule(
    name: str,
    y_true: np.ndarray,
    y_prob: np.ndarray,
    *,
    fixed: float,
    seed: int,
    groups: np.ndarray | None = None,
) -> Thresholds:
    """Choose thresholds by the rule of that name, one of `hpa.thresholds.rules.RULES`, or "joint".

    Args:
        name: "selected" means `fit_thresholds`.
        y_true: uint8[N,28].
        y_prob: floating [N,28] in [0,1].
        fixed: the value of rule "fixed", in (0,1).
        seed: of the folds and of the search.
        groups: as `fit_thresholds` takes them.
    """
    if name == SELECTED:
        return fit_thresholds(y_true, y_prob, seed=seed, groups=groups)
    rules: dict[str, Rule] = {
        **RULES,
        JOINT: lambda ranking: searched(ranking, seed),
        "fixed": lambda ranking: fixed_value(ranking, fixed),
    }
    rule = rules[name]
    ranking = rank_scores(y_true, y_prob, groups)
    names, held_out = (name,) * N_LABELS, cross_fit(ranking, rule, seed)
    return _thresholds(ranking, rule(ranking), names, held_out, seed)


def _thresholds(
    ranking: Ranking,
    values: np.ndarray,
    names: tuple[str, ...],
    cross_fitted_f1: np.ndarray,
    seed: int,
) -> Thresholds:
    fit_f1, support = ranking.f1_at(values), ranking.support
    flags = tuple(_flags(*pair) for pair in zip(support, fit_f1, strict=True))
    plain = {name: _plain(ranking, name, seed) for name in PLAIN_RULES}
    return Thresholds(values, names, support, fit_f1, cross_fitted_f1, flags, plain)


def _plain(ranking: Ranking, name: str, seed: int) -> PlainRule:
    values = RULES[name](ranking)
    held_out = cross_fit(ranking, RULES[name], seed)
    return PlainRule(values, float(ranking.f1_at(values).mean()), float(held_out.mean()))


def _decide(y_prob: np.ndarray, values: np.ndarray) -> np.ndarray:
    check_probabilities("y_prob", y_prob)
    return (y_prob.astype(np.float32) >= values).astype(np.uint8)


def _flags(support: int, fit_f1: float) -> tuple[str, ...]:
    if support == 0:
        return (NO_POSITIVES,)
    flags = [] if fit_f1 > 0 else [NOT_FOUND]
    if support < FEW_POSITIVES:
        flags.append(f"fewer than {FEW_POSITIVES} positives")
    return tuple(flags)


def _check_keys(where: str, mapping: Any, expected: tuple[str, ...]) -> None:
    if not isinstance(mapping, Mapping):
        raise UserError(
            f"{where} holds no keys",
            expected=", ".join(expected),
            received=f"{mapping!r}",
            remedy="write the file with the threshold stage",
        )
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
