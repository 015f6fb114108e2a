from dataclasses import replace

import keras
import numpy as np
import pytest

from hpa.config.params import load_params
from hpa.model.losses import AsymmetricLoss, FocalLoss, SoftMacroF1Loss, make_loss, smoothed
from hpa.vocabulary.hpa2018 import LABELS
from support.paths import ROOT

PARAMS = ROOT / "params.yaml"
LOSS = load_params(PARAMS).loss
NAMES = ["focal", "binary_cross_entropy", "soft_macro_f1", "asymmetric"]
RATES = np.linspace(0.01, 0.4, 28)
RNG = np.random.default_rng(5)
Y_TRUE = (RNG.random((6, 28)) < 0.2).astype("float32")
LOGITS = RNG.normal(0, 3, (6, 28)).astype("float32")


def named(name: str) -> keras.losses.Loss:
    return make_loss(replace(LOSS, name=name), RATES, LABELS)  # type: ignore[arg-type]


def value(loss: keras.losses.Loss, y_true: object, logits: object) -> float:
    return float(loss(np.asarray(y_true, "float32"), np.asarray(logits, "float32")))


def test_at_probability_one_half_and_gamma_two_focal_loss_is_a_quarter_of_cross_entropy() -> None:
    # logit 0: p = 1/2, so (1 - p)^2 = 1/4 and -log p = 0.6931; alpha 0.25 weighs a present label
    assert value(FocalLoss(2.0), [[1.0]], [[0.0]]) == pytest.approx(0.6931472 / 4, rel=1e-6)
    assert value(FocalLoss(2.0, 0.25), [[1.0]], [[0.0]]) == pytest.approx(0.0433217, rel=1e-6)
    assert value(FocalLoss(2.0, 0.25), [[0.0]], [[0.0]]) == pytest.approx(0.1299651, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
def test_focal_loss_equals_that_of_keras(gamma: float, alpha: float | None) -> None:
    oracle = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=alpha is not None, alpha=alpha or 0.25, gamma=gamma, from_logits=True
    )
    expected = value(oracle, Y_TRUE, LOGITS)
    assert value(FocalLoss(gamma, alpha), Y_TRUE, LOGITS) == pytest.approx(expected, rel=1e-4)


def test_gamma_zero_is_binary_cross_entropy() -> None:
    expected = value(named("binary_cross_entropy"), Y_TRUE, LOGITS)
    assert value(FocalLoss(0.0), Y_TRUE, LOGITS) == pytest.approx(expected, rel=1e-6)


def gradient(loss: keras.losses.Loss, y_true: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the gradient of the loss: the step of SGD on weights equal to logits."""
    layer = keras.layers.Dense(logits.shape[1], use_bias=False)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss, jit_compile=False)
    layer.kernel.assign(logits)
    model.train_on_batch(np.ones((1, 1), "float32"), y_true)
    return np.asarray(logits - keras.ops.convert_to_numpy(layer.kernel))


def test_extreme_logits_give_finite_losses() -> None:
    logits = np.array([[-1e4, -90.0, 90.0, 1e4]], "float32")
    # wrong by a logit of 1e4: (1 - p) is 1 and -log p is 1e4, so the mean over 4 labels is 2500
    assert value(FocalLoss(2.0), [[1, 0, 1, 0]], logits) == pytest.approx(5000.0)
    assert value(FocalLoss(2.0), [[0, 0, 1, 1]], logits) == 0.0


@pytest.mark.parametrize("loss", [*map(named, NAMES), FocalLoss(0.5), AsymmetricLoss(0.5, 0.0)])
def test_extreme_logits_give_finite_gradients(loss: keras.losses.Loss) -> None:
    logits = np.array([[-1e4, -90.0, -1.0, 0.0, 1.0, 90.0, 1e4]], "float32")
    for y_true in (np.zeros_like(logits), np.ones_like(logits)):
        assert np.isfinite(value(loss, y_true, logits))
        assert np.isfinite(gradient(loss, y_true, logits)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_scale_depends_neither_on_the_batch_nor_on_the_order(name: str) -> None:
    loss = named(name)
    once = value(loss, Y_TRUE, LOGITS)
    assert value(loss, np.tile(Y_TRUE, (5, 1)), np.tile(LOGITS, (5, 1))) == pytest.approx(once)
    assert value(loss, Y_TRUE[::-1], LOGITS[::-1]) == pytest.approx(once)


def test_each_label_can_have_its_own_alpha() -> None:
    # gamma 0, p = 1/2: each costs log 2; alpha .9 of a present one, 1 - .2 of an absent one
    loss = FocalLoss(0.0, [0.9, 0.2])
    assert value(loss, [[1, 0]], [[0.0, 0.0]]) == pytest.approx(0.6931472 * (0.9 + 0.8) / 2)
    same = value(FocalLoss(2.0, [0.3] * 28), Y_TRUE, LOGITS)
    assert same == pytest.approx(value(FocalLoss(2.0, 0.3), Y_TRUE, LOGITS))


def test_balanced_alpha_gives_present_and_absent_labels_equal_total_weight() -> None:
    loss = make_loss(replace(LOSS, name="focal", alpha="balanced"), RATES, LABELS)
    np.testing.assert_allclose(loss.alpha, 1 - RATES)  # rate * (1 - rate) on either side


def test_alpha_can_be_stated_per_label_and_is_one_half_for_the_others() -> None:
    stated = load_params(PARAMS, {"loss.alpha": "27x0.9 3x.25"}).loss
    expected = [0.5] * 28
    expected[27], expected[3] = 0.9, 0.25
    assert make_loss(stated, RATES, LABELS).alpha == expected
    alike = make_loss(replace(LOSS, alpha="0x0.5"), RATES, LABELS)
    assert value(alike, Y_TRUE, LOGITS) == pytest.approx(value(FocalLoss(), Y_TRUE, LOGITS) / 2)


def test_soft_macro_f1_by_hand() -> None:
    # two images, two labels, probabilities 1/2 everywhere; label 0 in one image, label 1 in none
    # label 0: hits 2 * mean(1/2, 0) = 1/2, both mean(1, 0) + 1/2 = 1: .51 / 1.01
    # label 1: hits 0, both 1/2: .01 / .51
    expected = 1 - (0.51 / 1.01 + 0.01 / 0.51) / 2
    assert value(SoftMacroF1Loss(), [[1, 0], [0, 0]], np.zeros((2, 2))) == pytest.approx(expected)
    sure = np.where(Y_TRUE, 100.0, -100.0)
    assert value(SoftMacroF1Loss(), Y_TRUE, sure) == pytest.approx(0.0, abs=1e-6)


def test_asymmetric_loss_by_hand() -> None:
    # probability 1/2: present (1/2)^1 log 2; absent: p - .05 = .45, .45^4 * -log .55
    loss = AsymmetricLoss(4.0, 1.0, 0.05)
    assert value(loss, [[1.0]], [[0.0]]) == pytest.approx(0.5 * 0.6931472)
    assert value(loss, [[0.0]], [[0.0]]) == pytest.approx(0.45**4 * 0.597837, rel=1e-5)
    # an absent label of probability 0.0474, below the margin, costs nothing
    assert value(loss, [[0.0]], [[-3.0]]) == 0.0


def test_asymmetric_loss_without_asymmetry_is_focal_loss() -> None:
    same = value(AsymmetricLoss(2.0, 2.0, 0.0), Y_TRUE, LOGITS)
    assert same == pytest.approx(value(FocalLoss(2.0), Y_TRUE, LOGITS), rel=1e-6)


def test_label_smoothing_equals_that_of_keras() -> None:
    loss = smoothed(named("binary_cross_entropy"), 0.1)
    oracle = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)
    assert value(loss, Y_TRUE, LOGITS) == pytest.approx(value(oracle, Y_TRUE, LOGITS), rel=1e-6)
    plain = named("focal")
    assert smoothed(plain, 0.0) is plain
