"""Multi-label losses, computed from logits.

Each is a mean over labels and images, or over labels: its scale depends neither on the batch size
nor on the number of labels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from hpa.config.sections import Loss
from hpa.vocabulary.labels import Labels


class FocalLoss(keras.losses.Loss):
    """Focal loss, -alpha_t (1 - p_t)^gamma log(p_t), without a sigmoid that could saturate.

    Lin, Goyal, Girshick, He, Dollár, "Focal loss for dense object detection", ICCV 2017, eq. 5.
    Gamma 0 without alpha is binary cross-entropy. Equal to `keras.losses.BinaryFocalCrossentropy`
    in its numerically stable range.

    >>> y_true, logits = np.array([[1.0, 0.0]]), np.array([[0.0, -2.0]])
    >>> round(float(FocalLoss(gamma=2.0)(y_true, logits)), 4)
    0.0875
    >>> round(float(FocalLoss(gamma=0.0)(y_true, logits)), 4)  # cross-entropy
    0.41
    """

    def __init__(self, gamma: float = 2.0, alpha: float | Sequence[float] | None = None) -> None:
        """Create the loss.

        Args:
            gamma: ≥ 0; how much labels that are already correct are down-weighted.
            alpha: in (0,1), the weight of a present label; an absent one has 1 - alpha. One number,
                or one per label; None weights both by 1.
        """
        super().__init__(name="focal")
        self.gamma, self.alpha = gamma, alpha

    def call(self, y_true: Any, logits: Any) -> Any:
        """Return float32[B] from y_true float[B,C] in [0,1] and logits float[B,C]."""
        logits = ops.convert_to_tensor(logits)
        y_true = ops.cast(y_true, logits.dtype)
        present, absent = _focal(-logits, self.gamma), _focal(logits, self.gamma)
        if self.alpha is not None:
            alpha = ops.cast(self.alpha, logits.dtype)
            present, absent = alpha * present, (1 - alpha) * absent
        return ops.mean(y_true * present + (1 - y_true) * absent, axis=-1)


class AsymmetricLoss(keras.losses.Loss):
    """Focal loss that down-weights absent labels more, and ignores those below a margin.

    Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor, "Asymmetric loss for
    multi-label classification", ICCV 2021, eqs. 5 to 7; the gradient is that of the equations.
    With equal gammas and no margin it is focal loss.

    >>> y_true, logits = np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])
    >>> round(float(AsymmetricLoss()(y_true, logits)), 4)
    0.1855
    """

    def __init__(
        self, gamma_negative: float = 4.0, gamma_positive: float = 1.0, margin: float = 0.05
    ) -> None:
        """Create the loss from both exponents ≥ 0 and the margin, a probability in [0,1)."""
        super().__init__(name="asymmetric")
        self.gamma_negative, self.gamma_positive = gamma_negative, gamma_positive
        self.margin = margin

    def call(self, y_true: Any, logits: Any) -> Any:
        """Return float32[B] from y_true float[B,C] in [0,1] and logits float[B,C]."""
        logits = ops.convert_to_tensor(logits)
        y_true = ops.cast(y_true, logits.dtype)
        present, absent = _focal(-logits, self.gamma_positive), _focal(logits, self.gamma_negative)
        if self.margin:
            # Not zero, where a power below one has no finite gradient.
            shifted = ops.maximum(ops.sigmoid(logits) - self.margin, 1e-12)
            absent = -(shifted**self.gamma_negative) * ops.log(1 - shifted)
        return ops.mean(y_true * present + (1 - y_true) * absent, axis=-1)


class SoftMacroF1Loss(keras.losses.Loss):
    """One minus macro F1, with probabilities in place of decisions.

    Counts are fractions of the batch, and `SMOOTHING` is added to the numerator and denominator of
    each label, so that a label without images still penalises its predicted probability.

    >>> y_true, logits = np.array([[1.0, 0.0], [0.0, 0.0]]), np.zeros((2, 2))
    >>> round(float(SoftMacroF1Loss()(y_true, logits)), 4)
    0.7377
    """

    SMOOTHING = 0.01

    def __init__(self) -> None:
        super().__init__(name="soft_macro_f1")

    def call(self, y_true: Any, logits: Any) -> Any:
        """Return float32[] in [0,1] from y_true float[B,C] in [0,1] and logits float[B,C]."""
        y_prob = ops.sigmoid(logits)
        y_true = ops.cast(y_true, y_prob.dtype)
        hits = 2 * ops.mean(y_true * y_prob, axis=0)
        both = ops.mean(y_true + y_prob, axis=0)
        return 1 - ops.mean((hits + self.SMOOTHING) / (both + self.SMOOTHING))


class Smoothed(keras.losses.Loss):
    """Loss with targets smoothed to label_smoothing / 2 and 1 - label_smoothing / 2.

    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture", CVPR 2016,
    section 7, with two classes per label, as in `keras.losses.BinaryCrossentropy`.
    """

    def __init__(self, loss: keras.losses.Loss, label_smoothing: float) -> None:
        super().__init__(name=loss.name)
        self.loss, self.label_smoothing = loss, label_smoothing

    def call(self, y_true: Any, logits: Any) -> Any:
        """Return the value of the loss from y_true float[B,C] in [0,1] and logits."""
        y_true = ops.cast(y_true, "float32")
        return self.loss.call(y_true + self.label_smoothing * (0.5 - y_true), logits)


def make_loss(loss: Loss, label_rates: np.ndarray, labels: Labels) -> keras.losses.Loss:
    """Return the loss that `loss.name` names, without label smoothing.

    Args:
        loss: the section of params.yaml.
        label_rates: float[C] in (0,1), the frequency of each label. `alpha: balanced` is one
            minus that: present labels then have the same total weight as absent ones.
        labels: those that a text such as `27x0.9; Cytosol x0.75` may name. The others have 0.5:
            equal weight for present and absent.

    Raises:
        ValueError: `alpha` names other labels.

    >>> from hpa.config.params import load_params
    >>> from hpa.system.files import repository_root
    >>> section = load_params(repository_root() / "params.yaml").loss
    >>> make_loss(section, np.full(2, 0.1), Labels.named(["Cytosol", "Nucleoli"])).name
    'focal'
    """
    makers: dict[str, Callable[[], keras.losses.Loss]] = {
        "focal": lambda: FocalLoss(loss.gamma, _alpha(loss, label_rates, labels)),
        "binary_cross_entropy": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
        "soft_macro_f1": SoftMacroF1Loss,
        "asymmetric": lambda: AsymmetricLoss(loss.gamma_negative, loss.gamma_positive, loss.margin),
    }
    return makers[loss.name]()


def smoothed(loss: keras.losses.Loss, label_smoothing: float) -> keras.losses.Loss:
    """Return the loss for training, smoothed unless `label_smoothing` is 0.

    >>> smoothed(FocalLoss(), 0.0).name, type(smoothed(FocalLoss(), 0.1)).__name__
    ('focal', 'Smoothed')
    """
    return Smoothed(loss, label_smoothing) if label_smoothing else loss


def _alpha(loss: Loss, label_rates: np.ndarray, labels: Labels) -> float | list[float] | None:
    if loss.alpha == "balanced":
        return [float(rate) for rate in 1 - np.clip(label_rates, 1e-4, 1 - 1e-4)]
    if isinstance(loss.alpha, str):
        return [float(alpha) for alpha in labels.values(loss.alpha, 0.5)]
    return loss.alpha


def _focal(logits: Any, gamma: float) -> Any:
    """Return p^gamma × -log(1 - p), the loss of an absent label with probability p of `logits`."""
    return ops.softplus(logits) * ops.exp(-gamma * ops.softplus(-logits))
