"""Non-inferiority: the whole interval counts, and no class may lose too much."""

import numpy as np
import pytest

from hpa.evaluation.noninferiority import objections
from hpa.evaluation.paired_bootstrap import PairedComparison, compare
from hpa.vocabulary import hpa2018

RULE = {"macro_margin": 0.02, "class_margin": 0.15, "min_support": 10}


def predictions(hits: int, *, n: int = 1000, misses_of_class: int = 0) -> np.ndarray:
    """Classes in turn, right for the first `hits` images and empty for the others."""
    y_true = truth(n)
    y_pred = y_true.copy()
    y_pred[hits:] = 0
    y_pred[np.flatnonzero(y_true[:, 0])[:misses_of_class]] = 0
    return y_pred


def truth(n: int = 1000) -> np.ndarray:
    return (np.arange(28) == np.arange(n)[:, None] % 28).astype(np.uint8)


def compared(pred_a: np.ndarray, pred_b: np.ndarray) -> PairedComparison:
    n = len(pred_a)
    return compare(truth(n), np.arange(n), pred_a, pred_b, hpa2018.LABELS, 1, 400)


def test_equal_predictions_pass_even_without_a_margin() -> None:
    same = compared(predictions(800), predictions(800))
    assert objections(same, macro_margin=0, class_margin=0, min_support=1) == []


def test_a_better_model_passes_and_a_worse_one_does_not() -> None:
    assert objections(compared(predictions(700), predictions(900)), **RULE) == []
    reasons = objections(compared(predictions(900), predictions(700)), **RULE)
    assert "macro F1 may fall by" in reasons[0]


def test_a_loss_that_few_images_cannot_exclude_is_an_objection() -> None:
    """Two equally good models with errors on different images: 56 images are too few."""
    for n, passes in ((56, False), (5600, True)):
        random = np.random.default_rng(3)
        a, b = (truth(n) * (random.random((n, 1)) < 0.8) for _ in range(2))
        reasons = objections(
            compared(a.astype(np.uint8), b.astype(np.uint8)), macro_margin=0.02,
            class_margin=1, min_support=10,
        )  # fmt: skip
        assert (reasons == []) == passes, reasons


@pytest.mark.parametrize(("min_support", "n_objections"), [(10, 1), (37, 0)])
def test_a_class_that_loses_is_named_if_enough_images_carry_it(
    min_support: int, n_objections: int
) -> None:
    """Class 0 has 36 of 1,000 images; with 12 false negatives its F1 is 2·24 / (24 + 36) = 0.8."""
    reasons = objections(
        compared(predictions(1000), predictions(1000, misses_of_class=12)),
        **RULE | {"min_support": min_support},
    )
    assert len(reasons) == n_objections
    if reasons:
        assert "Nucleoplasm falls by 0.200, more than 0.15: F1 1.000 to 0.800" in reasons[0]
