"""AdamW with a learning rate per depth, weight decay, gradient clipping and averaged weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from hpa.config.sections import Train
from hpa.model.resnet import depth
from hpa.model.schedules import make_schedules


class DepthwiseAdamW(keras.optimizers.Optimizer):
    """One AdamW per depth of the network, each with its own learning-rate schedule.

    `variables` holds the state of all of them: their steps, two moments per weight and, with
    `use_ema`, the moving average of each weight.

    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2; rates by
    depth: Howard, Ruder, "Universal language model fine-tuning", ACL 2018, section 3.2.
    """

    def __init__(
        self, schedules: Sequence[Any], *, clip_norm: float | None = None, **kwargs: Any
    ) -> None:
        """Create the optimizer.

        Args:
            schedules: the learning-rate schedule of each depth (see `resnet.depth`).
            clip_norm: largest norm of all gradients together; None does not clip.
            **kwargs: of `keras.optimizers.AdamW`.
        """
        super().__init__(learning_rate=schedules[-1])
        self.clip_norm = clip_norm
        self.parts = [keras.optimizers.AdamW(schedule, **kwargs) for schedule in schedules]
        for part in self.parts:
            part.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])

    def build(self, variables: Any) -> None:
        """Create the state for all weights of a model."""
        super().build(variables)
        depths = [depth(variable.path) for variable in variables]
        self.places = [
            [place for place, each in enumerate(depths) if each == number]
            for number in range(len(self.parts))
        ]
        for part, places in zip(self.parts, self.places, strict=True):
            part.build([variables[place] for place in places])

    @property
    def variables(self) -> list[Any]:
        """State of the optimizer: all that a step changes besides the weights."""
        return [*super().variables, *(each for part in self.parts for each in part.variables)]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Do a step, given the gradients of all weights in the order of `build`."""
        if not self.built:
            self.build(trainable_variables)
        if self.clip_norm is not None:
            grads = _clipped(grads, self.clip_norm)
        for part, places in zip(self.parts, self.places, strict=True):
            part.apply([grads[place] for place in places])
        self.iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Any) -> None:
        """Leave the weights as they are; Keras would assign the averages after each `fit`."""

    def assign_averages(self, variables: Any) -> None:
        """Assign the moving averages to all weights; without `use_ema`, do nothing."""
        for part, places in zip(self.parts, self.places, strict=True):
            part.finalize_variable_values([variables[place] for place in places])


def make_optimizer(train: Train) -> DepthwiseAdamW:
    """Return the optimizer that the section train of params.yaml describes.

    Each step takes learning rate × `train.weight_decay` off a weight; biases and normalisation
    layers do not decay.
    """
    return DepthwiseAdamW(
        make_schedules(train),
        clip_norm=train.clip_norm,
        weight_decay=train.weight_decay,
        # Focal gradients of inner kernels are as small as 1e-7; Keras' default epsilon stops them.
        epsilon=1e-10,
        use_ema=train.average_momentum is not None,
        ema_momentum=train.average_momentum or 0.0,
    )


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Replace a model's weights by their moving averages, and restore them at the end.

    Does nothing if `train.average_momentum` is null, or before the first step. The statistics of
    normalisation layers are moving averages already and stay.
    """
    optimizer, weights = model.optimizer, model.trainable_variables
    if not (isinstance(optimizer, DepthwiseAdamW) and ops.convert_to_numpy(optimizer.iterations)):
        yield
        return
    kept = [ops.convert_to_numpy(weight).copy() for weight in weights]
    try:
        optimizer.assign_averages(weights)
        for weight in weights:  # on JAX the two would share memory, which `predict` may release
            weight.assign(ops.convert_to_numpy(weight))
        yield
    finally:
        for weight, value in zip(weights, kept, strict=True):
            weight.assign(value)


def _clipped(grads: Any, clip_norm: float) -> list[Any]:
    """Clip by the norm of all gradients as Keras' `global_clipnorm` does: NaN if it is infinite."""
    squares = [ops.sum(ops.square(each)) for each in grads if each is not None]
    norm = ops.sqrt(ops.sum(ops.stack(squares)))
    scale = clip_norm * ops.minimum(1.0 / norm, 1.0 / clip_norm) + (norm - norm)
    return [None if each is None else each * scale for each in grads]
