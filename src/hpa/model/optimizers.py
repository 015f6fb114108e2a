"""One optimizer for the whole training: a learning rate a depth, decay, clipping, averages."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from hpa.config.params import Train
from hpa.model.resnet import depth
from hpa.model.schedules import make_schedules

# Torch's is a class of its own, which updates all weights in a few calls.
AdamW: Any = type(keras.optimizers.AdamW.__new__(keras.optimizers.AdamW))


class DepthwiseAdamW(AdamW):
    """AdamW whose learning rate, and so its decay, depends on how deep a weight lies.

    All state lies in `variables`: the step, two moments a weight and, where `use_ema` is on, the
    weight's moving average. Which steps spare the body is a function of the step.

    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2; rates by
    depth: Howard, Ruder, "Universal language model fine-tuning", ACL 2018, section 3.2.
    """

    def __init__(self, schedules: Sequence[Any], **kwargs: Any) -> None:
        """Take the schedule of each depth (see `resnet.depth`), and what AdamW takes."""
        super().__init__(learning_rate=schedules[-1], **kwargs)
        self.schedules = tuple(schedules)

    def finalize_variable_values(self, var_list: Any) -> None:
        """Leave the weights as they are: Keras would put the averages in at each end of `fit`."""

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> Any:
        for schedule, places in self._by_depth(trainable_variables):
            super()._backend_update_step(
                [grads[place] for place in places],
                [trainable_variables[place] for place in places],
                schedule(self._iterations),
            )

    def _apply_weight_decay(self, variables: Any) -> None:
        decayed = [variable for variable in variables if self._use_weight_decay(variable)]
        for schedule, places in self._by_depth(decayed):
            self._learning_rate = schedule
            super()._apply_weight_decay([decayed[place] for place in places])
        self._learning_rate = self.schedules[-1]

    def _by_depth(self, variables: Any) -> Iterator[tuple[Any, list[int]]]:
        depths = [depth(variable.path) for variable in variables]
        for which, schedule in enumerate(self.schedules):
            if places := [place for place, each in enumerate(depths) if each == which]:
                yield schedule, places


def make_optimizer(train: Train) -> DepthwiseAdamW:
    """Return the optimizer that the section train of params.yaml describes.

    A weight loses learning rate × `train.weight_decay` of itself a step; norms and biases are
    spared. Gradients are clipped by the norm of all of them together.
    """
    optimizer = DepthwiseAdamW(
        make_schedules(train),
        weight_decay=train.weight_decay,
        # Focal gradients of inner kernels are as small as 1e-7; Keras' default epsilon stops them.
        epsilon=1e-10,
        global_clipnorm=train.clip_norm,
        use_ema=train.average_momentum is not None,
        ema_momentum=train.average_momentum or 0.0,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


@contextmanager
def averaged_weights(optimizer: DepthwiseAdamW) -> Iterator[None]:
    """Put the moving averages of the weights in their place, and the weights back at the end.

    Does nothing where `train.average_momentum` is null, and before the first step. Statistics of
    normalisation layers are moving averages anyway and stay.
    """
    if not (optimizer.use_ema and optimizer.built and _numpy(optimizer.iterations)):
        yield
        return
    weights = optimizer._trainable_variables
    kept = [_numpy(weight).copy() for weight in weights]
    try:
        for weight, average in zip(weights, optimizer._model_variables_moving_average, strict=True):
            weight.assign(_numpy(average))
        yield
    finally:
        for weight, value in zip(weights, kept, strict=True):
            weight.assign(value)


def _numpy(variable: Any) -> Any:
    """Read a variable, also one that several devices hold."""
    return keras.ops.convert_to_numpy(variable)
