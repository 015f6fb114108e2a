"""Losses for several labels an image, computed from logits.

Each is the mean over the labels of an image, then over the images of a batch: neither the
batch size nor the number of labels changes its scale.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


class FocalLoss(keras.losses.Loss):
    """Focal loss, -alpha_t (1 - p_t)^gamma log(p_t), without a sigmoid that could saturate.

    Lin, Goyal, Girshick, He, Dollár, "Focal loss for dense object detection", ICCV 2017, eq. 5.
    Gamma 0 without alpha is binary cross-entropy. Equal to `keras.losses.BinaryFocalCrossentropy`
    where that one is stable.
    """

    def __init__(
        self, gamma: float = 2.0, alpha: float | None = None, name: str = "focal", **kwargs: Any
    ) -> None:
        """Set the exponent and the weights.

        Args:
            gamma: ≥ 0; how strongly labels that are already right are played down.
            alpha: in (0,1), the weight of a present label, 1 - alpha that of an absent one;
                None weighs both 1.
            name: of the loss.
            **kwargs: of `keras.losses.Loss`.
        """
        super().__init__(name=name, **kwargs)
        self.gamma, self.alpha = gamma, alpha

    def call(self, y_true: Any, logits: Any) -> Any:
        """Return float32[B] from y_true float[B,28] in [0,1] and logits float[B,28]."""
        y_true, logits = ops.cast(y_true, logits.dtype), ops.convert_to_tensor(logits)
        present = ops.softplus(-logits) * ops.exp(-self.gamma * ops.softplus(logits))
        absent = ops.softplus(logits) * ops.exp(-self.gamma * ops.softplus(-logits))
        if self.alpha is not None:
            present, absent = self.alpha * present, (1 - self.alpha) * absent
        return ops.mean(y_true * present + (1 - y_true) * absent, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "gamma": self.gamma, "alpha": self.alpha}


def make_loss(name: str, *, gamma: float, alpha: float | None) -> keras.losses.Loss:
    """Return the loss that params.yaml names in `loss.name`."""
    makers: dict[str, Callable[[], keras.losses.Loss]] = {
        "focal": lambda: FocalLoss(gamma, alpha),
        "binary_cross_entropy": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
    }
    return makers[name]()
