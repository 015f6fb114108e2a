import keras
import numpy as np
import pytest

from hpa.model.losses import FocalLoss, make_loss

RNG = np.random.default_rng(5)
Y_TRUE = (RNG.random((6, 28)) < 0.2).astype("float32")
LOGITS = RNG.normal(0, 3, (6, 28)).astype("float32")


def value(loss: keras.losses.Loss, y_true: object, logits: object) -> float:
    return float(loss(np.asarray(y_true, "float32"), np.asarray(logits, "float32")))


def test_a_label_at_even_odds_costs_a_quarter_of_its_cross_entropy_at_gamma_two() -> None:
    # logit 0: p = 1/2, so (1 - p)^2 = 1/4 and -log p = 0.6931; alpha 0.25 weighs a present label
    assert value(FocalLoss(2.0), [[1.0]], [[0.0]]) == pytest.approx(0.6931472 / 4, rel=1e-6)
    assert value(FocalLoss(2.0, 0.25), [[1.0]], [[0.0]]) == pytest.approx(0.0433217, rel=1e-6)
    assert value(FocalLoss(2.0, 0.25), [[0.0]], [[0.0]]) == pytest.approx(0.1299651, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
def test_it_equals_keras_own_focal_loss(gamma: float, alpha: float | None) -> None:
    oracle = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=alpha is not None, alpha=alpha or 0.25, gamma=gamma, from_logits=True
    )
    expected = value(oracle, Y_TRUE, LOGITS)
    assert value(FocalLoss(gamma, alpha), Y_TRUE, LOGITS) == pytest.approx(expected, rel=1e-4)


def test_gamma_zero_is_binary_cross_entropy() -> None:
    cross_entropy = make_loss("binary_cross_entropy", gamma=2.0, alpha=None)
    expected = value(cross_entropy, Y_TRUE, LOGITS)
    assert value(FocalLoss(0.0), Y_TRUE, LOGITS) == pytest.approx(expected, rel=1e-6)


def test_extreme_logits_give_finite_losses_and_gradients() -> None:
    logits = np.array([[-1e4, -90.0, 90.0, 1e4]], "float32")
    # wrong by a logit of 1e4: (1 - p) is 1 and -log p is 1e4, so the mean over 4 labels is 2500
    assert value(FocalLoss(2.0), [[1, 0, 1, 0]], logits) == pytest.approx(5000.0)
    assert value(FocalLoss(2.0), [[0, 0, 1, 1]], logits) == 0.0


@pytest.mark.parametrize("name", ["focal", "binary_cross_entropy"])
def test_the_scale_depends_neither_on_the_batch_nor_on_the_order(name: str) -> None:
    loss = make_loss(name, gamma=2.0, alpha=0.3)
    once = value(loss, Y_TRUE, LOGITS)
    assert value(loss, np.tile(Y_TRUE, (5, 1)), np.tile(LOGITS, (5, 1))) == pytest.approx(once)
    assert value(loss, Y_TRUE[::-1], LOGITS[::-1]) == pytest.approx(once)


def test_a_loss_comes_back_from_its_configuration() -> None:
    loss = FocalLoss.from_config(FocalLoss(3.0, 0.4).get_config())
    assert (loss.gamma, loss.alpha) == (3.0, 0.4)
