"""The referee: how far to trust each rule, by macro F1 of rows the rules have not seen.

A class's threshold is a blend, in logits, of its own bagged sweep and of what is known without
its positives (as many as there are; one threshold for all). A class with s positives trusts its
own sweep by s / (s + half), and `half` and three shares are chosen for all 28 classes together:
four numbers, where a rule chosen a class would be luck again. Plain rules are corners of the blend.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from hpa.metrics.ranking import Ranking
from hpa.seeds import stream
from hpa.thresholds.optuna_search import Setting, even_sampler, maximise
from hpa.thresholds.rules import RULES, Rule

PARTS = ("bagged", "proportion", "expected", "global", "fixed")
N_FOLDS, N_REPEATS, N_TRIALS = 5, 2, 72
HALF = 30.0
"""Positives at which a class trusts its own sweep by half, where `prior` is one half."""
NEAR_TIE = 0.002
"""Macro F1: a setting this far below the best weighs 1/e. The referee cannot tell finer."""

CORNERS: Mapping[str, Setting] = {
    "bagged": {"prior": 0.0, "proportion": 1.0, "expected": 0.0, "fixed": 0.0},
    "proportion": {"prior": 1.0, "proportion": 1.0, "expected": 0.0, "fixed": 0.0},
    "expected": {"prior": 1.0, "proportion": 1.0, "expected": 1.0, "fixed": 0.0},
    "global": {"prior": 1.0, "proportion": 0.0, "expected": 0.0, "fixed": 0.0},
    "fixed": {"prior": 1.0, "proportion": 0.0, "expected": 0.0, "fixed": 1.0},
    "rare by proportion": {"prior": 0.6, "proportion": 1.0, "expected": 0.0, "fixed": 0.0},
    "rare by one for all": {"prior": 0.6, "proportion": 0.0, "expected": 0.0, "fixed": 0.5},
    "a bit of each": {"prior": 0.6, "proportion": 0.5, "expected": 0.25, "fixed": 0.5},
}
"""Where the search starts: every plain rule, the mixtures by support, and the middle."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Thresholds and what they are made of.

    Attributes:
        values: float64[C] in (0,1).
        shares: weight of each of `PARTS` in each class's logit, float64[5,C]; columns sum to 1.
    """

    values: np.ndarray
    shares: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Each class's blend in words, such as "62% bagged, 38% proportion"."""
        return tuple(
            ", ".join(f"{s:.0%} {n}" for n, s in zip(PARTS, column, strict=True) if s >= 0.005)
            for column in self.shares.T
        )


def choose(ranking: Ranking, seed: int) -> Choice:
    """Blend the rules for the best cross-fitted macro F1, averaged over near-ties."""
    if _n_independent(ranking) < 2:  # no row can judge another
        shares = _shares(CORNERS["bagged"], ranking.support)
    else:
        settings, scores = maximise(
            _Referee(ranking, seed).score,
            dict.fromkeys(CORNERS["bagged"], (0.0, 1.0)),
            starts=list(CORNERS.values()),
            n_trials=N_TRIALS,
            sampler=even_sampler(int(stream(seed, "settings").integers(2**31))),
        )
        weights = np.exp((scores - scores.max()) / NEAR_TIE)
        blends = np.array([_shares(setting, ranking.support) for setting in settings])
        shares = np.tensordot(weights / weights.sum(), blends, axes=1)
    return Choice(expit((shares * _parts(ranking)).sum(axis=0)), shares)


def cross_fit(ranking: Ranking, rule: Rule, seed: int, n_repeats: int = N_REPEATS) -> np.ndarray:
    """Return F1 with every row judged by a rule that was fitted without it, float64[C].

    Without any row of its group, where rows share one. Counts of the folds are added before F1 is
    taken. Without a second row, or group, there is nothing to judge by, and F1 is 0.0.
    """
    if _n_independent(ranking) < 2:
        return np.zeros(len(ranking.support))
    scores = []
    for repeat in range(n_repeats):
        folds = deal_folds(ranking.truth, ranking.groups, stream(seed, "judging folds", repeat))
        found = n_predicted = np.zeros(len(ranking.support), dtype=np.int64)
        for each in range(folds.max() + 1):
            values = rule(ranking.subset(folds != each))
            hits, predictions = ranking.subset(folds == each).count_at(values[:, None])
            found, n_predicted = found + hits[:, 0], n_predicted + predictions[:, 0]
        scores.append(2 * found / np.maximum(n_predicted + ranking.support, 1))
    return np.mean(scores, axis=0)


class _Referee:
    """Judges a setting by rows its rules have not seen; sorts and counts once, for all settings.

    A class with fewer positives than folds does not judge: some fold's rules see too few of them,
    which only those rules survive that need none. Where no class has as many, all judge.
    The held-out scores of every fold and class lie in one ascending array, each segment lifted
    above the one before, so that one search finds all cuts.
    """

    def __init__(self, ranking: Ranking, seed: int) -> None:
        self.support = ranking.support
        enough = ranking.support >= N_FOLDS
        self.judges = enough if enough.any() else np.ones_like(enough)
        self.parts, self.seen, keys, truths = [], [], [], []
        for repeat in range(N_REPEATS):
            folds = deal_folds(
                ranking.truth, ranking.groups, stream(seed, "choosing folds", repeat)
            )
            for each in range(folds.max() + 1):
                rest, judged = ranking.subset(folds != each), ranking.subset(folds == each)
                self.parts.append(_parts(rest))
                self.seen.append(rest.support)
                keys.append(-_logit(judged.scores))
                truths.append(judged.truth)
        n_segments = len(keys) * len(self.support)
        self.lift = LIFT * np.arange(n_segments)
        lengths = np.repeat([key.shape[1] for key in keys], len(self.support))
        self.start = np.cumsum(lengths) - lengths
        flat = np.concatenate([key.ravel() for key in keys])
        self.keys = flat + np.repeat(self.lift, lengths)
        self.found = np.pad(np.cumsum(np.concatenate([each.ravel() for each in truths])), (1, 0))

    def score(self, setting: Setting) -> float:
        """Return macro F1 of the held-out rows, averaged over repeats; 0 for no judge."""
        pairs = zip(self.parts, self.seen, strict=True)
        logits = [(_shares(setting, seen) * parts).sum(axis=0) for parts, seen in pairs]
        ends = np.searchsorted(self.keys, self.lift - np.concatenate(logits), "right")
        shape = (N_REPEATS, -1, len(self.support))
        found = (self.found[ends] - self.found[self.start]).reshape(shape).sum(axis=1)
        n_predicted = (ends - self.start).reshape(shape).sum(axis=1)
        f1 = 2 * found / np.maximum(n_predicted + self.support, 1)
        return float((f1 * self.judges).mean())


LIFT = 400.0
"""More than twice the largest logit that a float32 or a threshold can have."""


def _parts(ranking: Ranking) -> np.ndarray:
    """Return the logits of each of `PARTS`, float64[5,C]."""
    return _logit(np.array([RULES[name](ranking) for name in PARTS]))


def _shares(setting: Setting, support: np.ndarray) -> np.ndarray:
    """Return the weight of each of `PARTS`, float64[5,C], of a setting of four shares.

    `prior` from 0 to 1 moves the support at which a class trusts itself by half from 0 over
    `HALF` to infinity; of the rest, `proportion` goes by numbers (of which `expected` by
    calibration), and what is left by one threshold for all (of which `fixed` is 0.5).
    """
    prior, proportion, fixed = setting["prior"], setting["proportion"], setting["fixed"]
    against, own = HALF * prior, (1 - prior) * support
    rest = np.divide(against, own + against, out=np.ones(len(support)), where=own + against > 0)
    by_numbers, for_all = rest * proportion, rest * (1 - proportion)
    calibrated = setting["expected"]
    return np.array(
        [
            1 - rest,
            by_numbers * (1 - calibrated),
            by_numbers * calibrated,
            for_all * (1 - fixed),
            for_all * fixed,
        ]
    )


def _n_independent(ranking: Ranking) -> int:
    """Return the number of groups; of rows, where each is its own."""
    return ranking.scores.shape[1] if ranking.groups is None else len(np.unique(ranking.groups))


def deal_folds(
    truth: np.ndarray, groups: np.ndarray | None, random: np.random.Generator
) -> np.ndarray:
    """Deal rows to folds, positives first, int64[C,N]: folds are of one size in every class.

    Args:
        truth: 0 or 1, [C,N].
        groups: integers [C,N] or [N]; rows of one group go together, and folds then hold equally
            many groups. None: each row by itself.
        random: breaks ties.
    """
    positive, numbers = truth, None
    if groups is not None:
        _, numbers = np.unique(np.broadcast_to(groups, truth.shape), return_inverse=True)
        numbers = numbers.reshape(truth.shape)
        positive = np.zeros((len(truth), numbers.max() + 1), dtype=np.int64)
        np.maximum.at(positive, (np.arange(len(truth))[:, None], numbers), truth)
    n_groups = positive.shape[1]
    order = np.lexsort((random.random(positive.shape), -positive))
    folds = np.empty(positive.shape, dtype=np.int64)
    dealt = np.broadcast_to(np.arange(n_groups) % min(N_FOLDS, n_groups), folds.shape)
    np.put_along_axis(folds, order, dealt, axis=1)
    return folds if numbers is None else np.take_along_axis(folds, numbers, axis=1)


def _logit(values: np.ndarray) -> np.ndarray:
    """Return logits, kept finite: a float32 between 0 and 1 lies inside ±104."""
    return np.clip(logit(values), -120, 120)
