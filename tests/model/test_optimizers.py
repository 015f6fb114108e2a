import keras
import numpy as np
import pytest

from hpa.model.optimizers import make_optimizer


def rate_at(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    return float(optimizer._learning_rate(step))


def test_the_rate_rises_to_its_peak_and_falls_to_zero_as_a_cosine() -> None:
    optimizer = make_optimizer(
        learning_rate=0.1, weight_decay=0.0, n_steps=110, warmup_fraction=1 / 11
    )
    assert rate_at(optimizer, 0) == 0.0
    assert rate_at(optimizer, 5) == pytest.approx(0.05)  # half of ten steps of warm-up
    assert rate_at(optimizer, 10) == pytest.approx(0.1)
    assert rate_at(optimizer, 60) == pytest.approx(0.05)  # half of a hundred: (1 + cos 90°) / 2
    assert rate_at(optimizer, 110) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("warmup_fraction", [0.0, 1.0])
def test_no_warm_up_and_nothing_but_warm_up_are_allowed(warmup_fraction: float) -> None:
    optimizer = make_optimizer(
        learning_rate=0.1, weight_decay=0.0, n_steps=4, warmup_fraction=warmup_fraction
    )
    assert np.isfinite([rate_at(optimizer, step) for step in range(5)]).all()


def test_decay_shrinks_kernels_and_spares_biases_and_norms() -> None:
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(3), keras.layers.BatchNormalization()]
    )
    for weight in model.trainable_variables:
        weight.assign(keras.ops.ones(weight.shape))
    optimizer = make_optimizer(learning_rate=0.1, weight_decay=0.5, n_steps=10, warmup_fraction=0.0)
    gradients = [keras.ops.zeros(weight.shape) for weight in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    # without a gradient only decay moves a weight: 1 - 0.1 * 0.5 = 0.95
    moved = {
        weight.path.split("/")[-1]: float(keras.ops.convert_to_numpy(weight).ravel()[0])
        for weight in model.weights[:4]
    }
    assert moved == {
        "kernel": pytest.approx(0.95),
        "bias": pytest.approx(1.0),
        "gamma": pytest.approx(1.0),
        "beta": pytest.approx(1.0),
    }
