"""Learning-rate schedules as functions of the step alone, so that a training can be resumed."""

from typing import Any

from keras import ops
from keras.optimizers.schedules import CosineDecay, CosineDecayRestarts, LearningRateSchedule

from hpa.config.sections import Train


class Schedule(LearningRateSchedule):
    """Constant rate while only the head trains, then linear warm-up, then decay."""

    def __init__(
        self,
        decay: LearningRateSchedule,
        *,
        factor: float,
        warmup_steps: int,
        head_steps: int,
        head_learning_rate: float,
    ) -> None:
        """Create the schedule.

        Args:
            decay: the rate as a function of the steps since the end of the warm-up.
            factor: multiplies warm-up and decay.
            warmup_steps: steps from a rate of zero to the first of the decay.
            head_steps: steps before the warm-up.
            head_learning_rate: rate in these steps; 0 freezes the weights.
        """
        self.decay, self.factor, self.warmup_steps = decay, factor, warmup_steps
        self.head_steps, self.head_learning_rate = head_steps, head_learning_rate

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0: float32[]."""
        since = ops.cast(step, "float32") - self.head_steps
        decayed = self.decay(ops.maximum(since - self.warmup_steps, 0.0))
        warm = ops.minimum(since / max(self.warmup_steps, 1), 1.0) if self.warmup_steps else 1.0
        return ops.where(since < 0, self.head_learning_rate, self.factor * decayed * warm)


def make_schedules(train: Train) -> list[Schedule]:
    """Return the schedule of each depth of the network (see `resnet.DEPTHS`), the head last."""
    n_steps = train.n_steps - train.head_steps
    warmup_steps = min(round(train.warmup_fraction * n_steps), n_steps - 1)
    decay = _decay(train, n_steps - warmup_steps)
    factors = [float(factor) for factor in train.depth_factors.split()]
    head_rates = [0.0] * (len(factors) - 1) + [train.head_learning_rate]
    return [
        Schedule(
            decay,
            factor=factor,
            warmup_steps=warmup_steps,
            head_steps=train.head_steps,
            head_learning_rate=head_rate,
        )
        for factor, head_rate in zip(factors, head_rates, strict=True)
    ]


def _decay(train: Train, n_steps: int) -> LearningRateSchedule:
    """Return one cosine decay to zero, or several in sequence with decreasing peaks.

    Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, eq. 5.
    """
    if train.schedule == "cosine":
        return CosineDecay(train.learning_rate, n_steps)
    first = n_steps / sum(train.cycle_growth**cycle for cycle in range(train.n_cycles))
    return CosineDecayRestarts(
        train.learning_rate, first, t_mul=train.cycle_growth, m_mul=train.cycle_decay
    )
