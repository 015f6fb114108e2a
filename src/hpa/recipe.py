"""The recipe: what params.yaml says of network, loss, optimizer and augmentation, put together."""

import keras
import numpy as np

from hpa.config import Params
from hpa.data.augmentation import with_augmentation
from hpa.model.losses import make_loss
from hpa.model.optimizers import make_optimizer
from hpa.model.resnet import build_resnet34


def compiled_networks(
    params: Params, image_size: int, label_rates: np.ndarray
) -> tuple[keras.Model, keras.Model]:
    """Return the network, and the model that trains it: augmentation before the same weights.

    Args:
        params: sections model, loss, augment and train.
        image_size: height and width of the packed images in pixels.
        label_rates: float64[28], share of the training images that bear each label.
    """
    network = build_resnet34(image_size, label_rates=label_rates, dropout=params.model.dropout)
    loss = make_loss(params.loss.name, gamma=params.loss.gamma, alpha=params.loss.alpha)
    # XLA's convolutions on a CPU take 1.3 to 10 times as long as oneDNN's (96 and 64 pixels).
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model = with_augmentation(network, params.augment)
    model.compile(
        optimizer=make_optimizer(
            learning_rate=params.train.learning_rate,
            weight_decay=params.train.weight_decay,
            n_steps=params.train.n_steps,
            warmup_fraction=params.train.warmup_fraction,
        ),
        loss=loss,
        jit_compile=jit,
    )
    network.compile(loss=loss, jit_compile=jit)  # to validate, not to train
    return network, model
