"""Fitting of thresholds to scores, by the blend of rules or by one rule alone."""

import numpy as np

from hpa.metrics.ranking import Ranking, rank_scores
from hpa.thresholds.blending import blend_rule, choose_blend
from hpa.thresholds.cross_fitting import Rule, cross_fitted_f1
from hpa.thresholds.decisions import PlainRule, Thresholds
from hpa.thresholds.joint_search import search_jointly
from hpa.thresholds.rules import RULES
from hpa.thresholds.rules import fixed as fixed_value
from hpa.thresholds.thresholds_file import PLAIN_RULES
from hpa.vocabulary.labels import Labels

FEW_POSITIVES = 10  # fewer make a tuned threshold luck: one row moves F1 by up to a tenth
NO_POSITIVES, NOT_FOUND = "no positives", "not found"


def fit_thresholds(
    y_true: np.ndarray,
    y_prob: np.ndarray,
    labels: Labels,
    *,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Thresholds:
    """Fit the blend of rules with the best cross-validated macro F1.

    Takes about four seconds for 6,000 rows, most of them for `cross_fitted_f1`, which repeats the
    whole choice without each fold. The order of rows and the type of floats change nothing.

    Args:
        y_true, y_prob: uint8[N,C], and floating [N,C] in [0,1].
        labels: of the C classes.
        seed: of the folds and of the search.
        groups: integers [N]; rows of one group, such as near copies, are never in two folds. None
            if all rows are independent.

    Raises:
        UserError: there are no rows.

    >>> y_true = np.array([[1], [1], [0], [0]], np.uint8)
    >>> y_prob = np.array([[0.9], [0.8], [0.3], [0.2]])
    >>> thresholds = fit_thresholds(y_true, y_prob, Labels.named(["Cytosol"]))
    >>> thresholds.predict(y_prob)[:, 0].tolist()
    [1, 1, 0, 0]
    >>> thresholds.flags[0]
    ('fewer than 10 positives',)
    """
    ranking = rank_scores(y_true, y_prob, groups)
    blend = choose_blend(ranking, seed)
    f1 = cross_fitted_f1(ranking, blend_rule(seed), seed)
    return _thresholds(ranking, blend.values, blend.names, f1, labels, seed)


def fit_by_rule(
    name: str,
    y_true: np.ndarray,
    y_prob: np.ndarray,
    labels: Labels,
    *,
    fixed: float,
    seed: int,
    groups: np.ndarray | None = None,
) -> Thresholds:
    """Fit thresholds by a named rule: "selected" (`fit_thresholds`), "joint" or one of `RULES`.

    `fixed` in (0,1) is the value of rule "fixed"; the others are as in `fit_thresholds`.

    >>> y_true = np.array([[1], [0], [1], [0]], np.uint8)
    >>> y_prob = np.array([[0.875], [0.75], [0.5], [0.25]])
    >>> labels = Labels.named(["Cytosol"])
    >>> thresholds = fit_by_rule("sweep", y_true, y_prob, labels, fixed=0.5, seed=0)
    >>> float(thresholds.values[0]), float(thresholds.fit_f1[0])  # TP 2, FP 1: 2·2 / (3 + 2)
    (0.375, 0.8)
    """
    if name == "selected":
        return fit_thresholds(y_true, y_prob, labels, seed=seed, groups=groups)
    rules: dict[str, Rule] = {
        **RULES,
        "joint": lambda ranking: search_jointly(ranking, seed),
        "fixed": lambda ranking: fixed_value(ranking, fixed),
    }
    rule, ranking = rules[name], rank_scores(y_true, y_prob, groups)
    f1 = cross_fitted_f1(ranking, rule, seed)
    return _thresholds(ranking, rule(ranking), (name,) * len(labels), f1, labels, seed)


def _thresholds(
    ranking: Ranking,
    values: np.ndarray,
    names: tuple[str, ...],
    cross_fitted: np.ndarray,
    labels: Labels,
    seed: int,
) -> Thresholds:
    fit_f1, support = ranking.f1_at(values), ranking.support
    flags = tuple(map(_flags, support, fit_f1))
    plain = {name: _plain_rule(ranking, name, seed) for name in PLAIN_RULES}
    return Thresholds(values, names, support, fit_f1, cross_fitted, flags, plain, labels)


def _plain_rule(ranking: Ranking, name: str, seed: int) -> PlainRule:
    values = RULES[name](ranking)
    cross_fitted = cross_fitted_f1(ranking, RULES[name], seed)
    return PlainRule(values, float(ranking.f1_at(values).mean()), float(cross_fitted.mean()))


def _flags(support: int, fit_f1: float) -> tuple[str, ...]:
    if support == 0:
        return (NO_POSITIVES,)
    flags = [] if fit_f1 > 0 else [NOT_FOUND]
    if support < FEW_POSITIVES:
        flags.append(f"fewer than {FEW_POSITIVES} positives")
    return tuple(flags)
