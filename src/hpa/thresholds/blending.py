"""Blend of the rules, chosen by cross-validated macro F1.

The threshold of a class is a blend, in logits, of its own bagged sweep and of what is known without
its positives (as many as there are; one threshold for all). A class with s positives trusts its own
sweep by s / (s + half). `half` and three shares are chosen for all classes together: four
numbers, as a rule chosen per class would be luck again. Plain rules are special cases of the blend.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from hpa.metrics.ranking import Ranking
from hpa.seeds import stream
from hpa.thresholds.cross_fitting import N_FOLDS, N_REPEATS, Rule, stratified_folds
from hpa.thresholds.rules import RULES

PARTS = ("bagged", "proportion", "expected", "global", "fixed")
N_POINTS = 64  # of Sobol's sequence, tried beside the initial points: a power of two
HALF = 30.0  # positives at which a class trusts its own sweep by half if `prior` is one half
NEAR_TIE = 0.002  # macro F1: a setting so far below the best weighs 1/e; no estimate is more exact
LIFT = 400.0  # more than twice the largest logit that a float32 or a threshold can have


class Setting(NamedTuple):
    """Shares of a blend, each in [0,1].

    Attributes:
        prior: moves the support at which a class trusts its own sweep by half, from 0 over `HALF`
            to infinity.
        proportion: of the rest, the share of rules by numbers; one threshold for all gets 1 minus
            it.
        expected: of the rules by numbers, the share of the calibrated one.
        fixed: of one threshold for all, the share of 0.5.
    """

    prior: float
    proportion: float
    expected: float
    fixed: float

    def shares(self, support: np.ndarray) -> np.ndarray:
        """Return the weight of each of `PARTS`, float64[5,C]; columns sum to 1.

        >>> Setting(0.5, 1.0, 0.25, 0.0).shares(np.array([90]))[:, 0]  # 90 / (90 + 30) bagged
        array([0.75  , 0.1875, 0.0625, 0.    , 0.    ])
        """
        against, own = HALF * self.prior, (1 - self.prior) * support
        rest = np.divide(against, own + against, out=np.ones(len(support)), where=own + against > 0)
        by_numbers, for_all = rest * self.proportion, rest * (1 - self.proportion)
        return np.array(
            [
                1 - rest,
                by_numbers * (1 - self.expected),
                by_numbers * self.expected,
                for_all * (1 - self.fixed),
                for_all * self.fixed,
            ]
        )


BAGGED = Setting(prior=0.0, proportion=1.0, expected=0.0, fixed=0.0)
INITIAL_POINTS = (
    BAGGED,
    Setting(prior=1.0, proportion=1.0, expected=0.0, fixed=0.0),  # proportion
    Setting(prior=1.0, proportion=1.0, expected=1.0, fixed=0.0),  # expected
    Setting(prior=1.0, proportion=0.0, expected=0.0, fixed=0.0),  # global
    Setting(prior=1.0, proportion=0.0, expected=0.0, fixed=1.0),  # fixed
    Setting(prior=0.6, proportion=1.0, expected=0.0, fixed=0.0),  # rare classes by proportion
    Setting(prior=0.6, proportion=0.0, expected=0.0, fixed=0.5),  # rare classes by one for all
    Setting(prior=0.6, proportion=0.5, expected=0.25, fixed=0.5),  # the middle
)


@dataclass(frozen=True, eq=False)
class Blend:
    """Thresholds and the weights of the rules in them.

    Attributes:
        values: float64[C] in (0,1).
        shares: weight of each of `PARTS` in the logit of each class, float64[5,C]; columns sum
            to 1.
    """

    values: np.ndarray
    shares: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Blend of each class in words, such as "62% bagged, 38% proportion"."""
        return tuple(
            ", ".join(f"{s:.0%} {n}" for n, s in zip(PARTS, column, strict=True) if s >= 0.005)
            for column in self.shares.T
        )


def choose_blend(ranking: Ranking, seed: int) -> Blend:
    """Blend the rules for the best cross-validated macro F1, averaged over near-ties.

    A ranking of fewer than two groups cannot be cross-validated: its blend is "bagged" alone.

    >>> from hpa.metrics.ranking import rank_scores
    >>> y_true = np.tile(np.array([[1]], np.uint8), 5)
    >>> blend = choose_blend(rank_scores(y_true, np.full((1, 5), 0.5)), seed=0)
    >>> blend.names[0], blend.values[0].round(3)  # the middle of 0.5 and 0
    ('100% bagged', np.float64(0.25))
    """
    if ranking.n_groups < 2:
        shares = BAGGED.shares(ranking.support)
    else:
        settings = [*INITIAL_POINTS, *_even_settings(seed)]
        objective = _CrossValidatedF1(ranking, seed)
        scores = np.array([objective(setting) for setting in settings])
        weights = np.exp((scores - scores.max()) / NEAR_TIE)
        blends = np.array([setting.shares(ranking.support) for setting in settings])
        shares = np.tensordot(weights / weights.sum(), blends, axes=1)
    return Blend(expit((shares * _part_logits(ranking)).sum(axis=0)), shares)


def blend_rule(seed: int) -> Rule:
    """Return the thresholds of `choose_blend` as a rule."""
    return lambda ranking: choose_blend(ranking, seed).values


def _even_settings(seed: int) -> list[Setting]:
    """Return settings that cover the space evenly, so that their average is one over the space.

    Source: Sobol's sequence, scrambled.
    """
    from scipy.stats import qmc  # takes a second to load

    random_seed = int(stream(seed, "settings").integers(2**31))
    points = qmc.Sobol(len(Setting._fields), seed=random_seed).random(N_POINTS)
    return [Setting(*point) for point in points.tolist()]


class _CrossValidatedF1:
    """Macro F1 of a setting on the test folds; sorts and counts once, for all settings.

    Leaves out classes with fewer positives than folds, since only rules that need no positives do
    well there; with no other class, all count.

    The test scores of every fold and class lie in one ascending array, each segment lifted above
    the one before, so that one search finds all cuts.
    """

    def __init__(self, ranking: Ranking, seed: int) -> None:
        self.support = ranking.support
        enough = ranking.support >= N_FOLDS
        self.counted = enough if enough.any() else np.ones_like(enough)
        keys: list[np.ndarray] = []
        self.part_logits, self.training_support, truths = [], [], []
        # Few groups may fill fewer folds in one repeat than in another.
        self.first_of_repeat: list[int] = []
        for repeat in range(N_REPEATS):
            self.first_of_repeat.append(len(keys))
            random = stream(seed, "choosing folds", repeat)
            folds = stratified_folds(ranking.truth, ranking.groups, random)
            for fold in range(folds.max() + 1):
                training, test = ranking.subset(folds != fold), ranking.subset(folds == fold)
                self.part_logits.append(_part_logits(training))
                self.training_support.append(training.support)
                keys.append(-_logit(test.scores))
                truths.append(test.truth)
        n_segments = len(keys) * len(self.support)
        self.lift = LIFT * np.arange(n_segments)
        lengths = np.repeat([key.shape[1] for key in keys], len(self.support))
        self.start = np.cumsum(lengths) - lengths
        flat = np.concatenate([key.ravel() for key in keys])
        self.keys = flat + np.repeat(self.lift, lengths)
        self.positives = np.pad(np.cumsum(np.concatenate([t.ravel() for t in truths])), (1, 0))

    def __call__(self, setting: Setting) -> float:
        """Return macro F1 of the test folds, averaged over repeats."""
        folds = zip(self.part_logits, self.training_support, strict=True)
        logits = [(setting.shares(support) * parts).sum(axis=0) for parts, support in folds]
        ends = np.searchsorted(self.keys, self.lift - np.concatenate(logits), "right")
        hits = self.positives[ends] - self.positives[self.start]
        true_positives, n_predicted = (
            np.add.reduceat(counts.reshape(-1, len(self.support)), self.first_of_repeat)
            for counts in (hits, ends - self.start)
        )
        f1 = 2 * true_positives / np.maximum(n_predicted + self.support, 1)
        return float((f1 * self.counted).mean())


def _part_logits(ranking: Ranking) -> np.ndarray:
    """Return the logits of each of `PARTS`, float64[5,C]."""
    return _logit(np.array([RULES[name](ranking) for name in PARTS]))


def _logit(values: np.ndarray) -> np.ndarray:
    """Return finite logits: a float32 between 0 and 1 lies inside ±104."""
    return np.clip(logit(values), -120, 120)
