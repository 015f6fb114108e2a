from dataclasses import replace

import keras
import numpy as np
import pytest

from hpa.config.params import load_params
from hpa.config.sections import Train
from hpa.model.optimizers import averaged_weights, make_optimizer
from hpa.model.schedules import make_schedules
from support.paths import ROOT

TRAIN = load_params(ROOT / "params.yaml").train


def train(**changes: object) -> Train:
    plain = {"learning_rate": 0.1, "warmup_fraction": 0.0, "n_steps": 10, "weight_decay": 0.0}
    return replace(TRAIN, **(plain | changes))  # type: ignore[arg-type]


def rates(section: Train, depth: int = 2) -> list[float]:
    schedule = make_schedules(section)[depth]
    return [float(schedule(step)) for step in range(section.n_steps + 1)]


def small_model() -> keras.Model:
    """Return a model with one layer per depth; all weights are one."""
    layers = [
        keras.layers.Conv2D(1, 1, use_bias=False, name="conv1_conv"),
        keras.layers.BatchNormalization(name="stack3_block0_1_bn"),
        keras.layers.Flatten(),
        keras.layers.Dense(1, name="logits"),
    ]
    model = keras.Sequential([keras.Input((1, 1, 1)), *layers])
    for weight in model.trainable_variables:
        weight.assign(keras.ops.ones(weight.shape))
    return model


def values(model: keras.Model) -> dict[str, float]:
    return {
        weight.path.partition("/")[2]: float(keras.ops.convert_to_numpy(weight).ravel()[0])
        for weight in model.trainable_variables
    }


def apply(model: keras.Model, optimizer: keras.optimizers.Optimizer, gradient: float) -> None:
    gradients = [
        gradient * keras.ops.ones(weight.shape, weight.dtype)
        for weight in model.trainable_variables
    ]
    optimizer.apply(gradients, model.trainable_variables)


def test_the_rate_rises_to_its_peak_and_falls_to_zero_as_a_cosine() -> None:
    found = rates(train(n_steps=110, warmup_fraction=1 / 11))
    assert found[0] == 0.0
    assert found[5] == pytest.approx(0.05)  # half of ten steps of warm-up
    assert found[10] == pytest.approx(0.1)
    assert found[60] == pytest.approx(0.05)  # half of a hundred: (1 + cos 90°) / 2
    assert found[110] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("warmup_fraction", [0.0, 1.0])
def test_warm_up_fractions_zero_and_one_are_allowed(warmup_fraction: float) -> None:
    assert np.isfinite(rates(train(n_steps=4, warmup_fraction=warmup_fraction))).all()


def test_cycles_restart_at_lower_peaks_and_can_grow() -> None:
    found = rates(train(n_steps=120, schedule="cycles", n_cycles=3, cycle_decay=0.5))
    # three cycles of 40 steps from peaks of .1, .05 and .025; halfway down after 20
    assert [found[step] for step in (0, 40, 80)] == pytest.approx([0.1, 0.05, 0.025], rel=1e-4)
    assert [found[step] for step in (20, 60, 100)] == pytest.approx([0.05, 0.025, 0.0125], rel=1e-4)
    assert found[39] < 0.001
    growing = rates(
        train(n_steps=70, schedule="cycles", n_cycles=3, cycle_decay=0.5, cycle_growth=2.0)
    )
    # cycles of 10, 20 and 40 steps
    assert [growing[step] for step in (0, 10, 30)] == pytest.approx([0.1, 0.05, 0.025], rel=1e-3)


def test_the_head_trains_alone_first_and_then_all_weights_by_depth() -> None:
    section = train(n_steps=30, head_steps=10, head_learning_rate=0.7, depth_factors="0.1 0.33 1")
    for depth, before, factor in ((0, 0.0, 0.1), (1, 0.0, 0.33), (2, 0.7, 1.0)):
        found = rates(section, depth)
        assert found[:10] == pytest.approx([before] * 10)
        assert found[10] == pytest.approx(0.1 * factor)
        assert found[20] == pytest.approx(0.05 * factor)


def test_weights_move_by_the_rate_of_their_depth() -> None:
    model = small_model()
    optimizer = make_optimizer(train(depth_factors="0.1 0.5 1"))
    apply(model, optimizer, 3.0)
    # Adam's first step is the rate itself, whatever the gradient's size
    assert values(model) == {
        "conv1_conv/kernel": pytest.approx(1 - 0.01),
        "stack3_block0_1_bn/gamma": pytest.approx(1 - 0.05),
        "stack3_block0_1_bn/beta": pytest.approx(1 - 0.05),
        "logits/kernel": pytest.approx(1 - 0.1),
        "logits/bias": pytest.approx(1 - 0.1),
    }


def test_kernels_decay_by_depth_and_biases_and_norms_do_not() -> None:
    model = small_model()
    optimizer = make_optimizer(train(weight_decay=0.5, depth_factors="0.1 0.5 1"))
    apply(model, optimizer, 0.0)
    # zero gradients: 1 - 0.1 * 0.5 = 0.95; at a tenth of the rate 0.995
    assert values(model) == {
        "conv1_conv/kernel": pytest.approx(0.995),
        "stack3_block0_1_bn/gamma": 1.0,
        "stack3_block0_1_bn/beta": 1.0,
        "logits/kernel": pytest.approx(0.95),
        "logits/bias": 1.0,
    }


def test_while_the_head_trains_alone_only_the_statistics_of_the_body_change() -> None:
    model = small_model()
    section = train(head_steps=2, head_learning_rate=0.1, weight_decay=0.5)
    model.compile(optimizer=make_optimizer(section), loss="mse")
    images, targets = np.arange(4.0).reshape(4, 1, 1, 1), np.ones((4, 1))
    for body_moves in (False, False, True):
        before = values(model)
        model.train_on_batch(images, targets)
        moved = {path for path, value in values(model).items() if value != before[path]}
        assert "logits/bias" in moved
        assert any("logits" not in path for path in moved) == body_moves
    mean = keras.ops.convert_to_numpy(model.get_layer("stack3_block0_1_bn").moving_mean)
    assert mean[0] > 0  # the images' mean is 1.5


def test_gradients_are_clipped_by_the_norm_of_all_together() -> None:
    first, second = small_model(), small_model()
    clipped = make_optimizer(train(clip_norm=0.01))
    apply(first, clipped, 3.0)
    # five gradients of 3: norm 3 √5, so each becomes 0.01 / √5; the moment is a tenth of it
    expected = 0.1 * 0.01 / np.sqrt(5)
    for moment in moments(clipped):
        np.testing.assert_allclose(moment, expected, rtol=1e-5)
    untouched = make_optimizer(train(clip_norm=100.0))
    apply(second, untouched, 3.0)
    for moment in moments(untouched):
        np.testing.assert_allclose(moment, 0.3, rtol=1e-5)


def moments(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    """Read the first moment of each of the five weights."""
    found = [each for each in optimizer.variables if each.name.endswith("_momentum")]
    assert len(found) == 5
    return [keras.ops.convert_to_numpy(each) for each in found]


def test_averages_replace_the_weights_in_the_context_and_are_in_the_optimizer_s_state() -> None:
    model = small_model()
    optimizer = make_optimizer(train(average_momentum=0.75, n_steps=10**6))
    model.compile(optimizer=optimizer)
    for _ in range(3):
        apply(model, optimizer, 1.0)
    before = values(model)
    # a rate of 0.1 gives .9, .8, .7; the average starts at .9 and takes a quarter of each:
    # .9 * .75 + .8 * .25 = .875; .875 * .75 + .7 * .25 = .83125
    with averaged_weights(model):
        assert values(model) == pytest.approx(dict.fromkeys(before, 0.83125), rel=1e-5)
    assert values(model) == before
    assert before == pytest.approx(dict.fromkeys(before, 0.7), rel=1e-5)
    state = [keras.ops.convert_to_numpy(variable).ravel() for variable in optimizer.variables]
    assert sum(np.allclose(array, 0.83125, rtol=1e-5) for array in state) == len(before)


def test_weights_are_restored_after_an_error() -> None:
    model = small_model()
    optimizer = make_optimizer(train(average_momentum=0.9))
    model.compile(optimizer=optimizer)
    apply(model, optimizer, 1.0)
    apply(model, optimizer, 1.0)
    before = values(model)
    with pytest.raises(ZeroDivisionError), averaged_weights(model):
        1 / (values(model) == before)  # False is 0: the averages are others
    assert values(model) == before


def test_fit_keeps_the_weights_and_without_averages_nothing_is_replaced() -> None:
    model = small_model()
    optimizer = make_optimizer(train(average_momentum=0.9, weight_decay=0.5))
    model.compile(optimizer=optimizer, loss="mse")
    model.fit(np.ones((4, 1, 1, 1)), np.zeros((4, 1)), batch_size=2, verbose=0)
    with averaged_weights(model):
        averages = values(model)
    assert values(model) != averages
    model.compile(optimizer=make_optimizer(train()), loss="mse")
    model.fit(np.ones((4, 1, 1, 1)), np.zeros((4, 1)), batch_size=2, verbose=0)
    before = values(model)
    with averaged_weights(model):
        assert values(model) == before
