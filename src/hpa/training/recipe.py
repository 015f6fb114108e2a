"""Recipe: network, loss, optimizer and augmentation as params.yaml describes them."""

from collections.abc import Callable

import keras
import numpy as np

from hpa.config.params import Params
from hpa.data.batches.augmentation import with_augmentation
from hpa.errors import UserError
from hpa.model.losses import make_loss, smoothed
from hpa.model.optimizers import make_optimizer
from hpa.model.pretrained import load_pretrained
from hpa.model.resnet import build_resnet34
from hpa.system import devices
from hpa.training.start import start_of
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import Labels

NetworkBuilder = Callable[[Params, Vocabulary, int, np.ndarray], tuple[keras.Model, keras.Model]]
"""Signature of `compiled_networks`."""


def compiled_networks(
    params: Params, vocabulary: Vocabulary, image_size: int, label_rates: np.ndarray
) -> tuple[keras.Model, keras.Model]:
    """Return the network, and the model that trains it: augmentation before the same weights.

    The network's loss is without label smoothing. The model's optimizer is built: all it will
    ever hold is in `model.optimizer.variables`. To validate and save what the moving averages
    make of the network, do so within `averaged_weights(model)`.

    Args:
        params: sections model, loss, augment and train.
        vocabulary: labels and channels of the data.
        image_size: height and width of the packed images in pixels.
        label_rates: float64[C], share of the training images with each label.

    Raises:
        UserError: the devices cannot do what params ask for, or pretrained weights are missing.
    """
    train, start = params.train, start_of(params.model.weights)
    _require_same_clipping(params)
    devices.require_precision(train.precision)
    jit = devices.jit_compile(train.n_devices)
    loss = make_loss(params.loss, label_rates, vocabulary.labels)
    with devices.data_parallel(train.n_devices):
        network = build_resnet34(
            image_size,
            len(vocabulary.channels),
            label_rates=label_rates,
            dropout=params.model.dropout,
            pooling=params.model.pooling,
            precision=train.precision,
            synchronized=devices.synchronized(train.n_devices),
        )
        if start:
            start.load_into(network, params, vocabulary)
        elif params.model.weights != "none":
            load_pretrained(
                network,
                params.model.weights,
                vocabulary.channels,
                fourth_channel=params.model.fourth_channel,
            )
        model = with_augmentation(network, params.augment)
        model.compile(
            optimizer=make_optimizer(train),
            loss=smoothed(loss, params.loss.label_smoothing),
            jit_compile=jit,
        )
        model.optimizer.build(model.trainable_variables)
        network.compile(loss=loss, jit_compile=jit)  # to validate, not to train
    return network, model


def _require_same_clipping(params: Params) -> None:
    """Refuse clipping on several devices of TensorFlow: it clips before it adds the gradients."""
    clipped = params.train.clip_norm is not None
    if clipped and params.train.n_devices > 1 and keras.backend.backend() == "tensorflow":
        raise UserError(
            "train.clip_norm: TensorFlow clips the gradients of each device separately",
            expected="null if train.n_devices is more than 1, or the backend jax",
            received=f"{params.train.clip_norm} with train.n_devices {params.train.n_devices}",
            remedy="set train.clip_norm to null, train.n_devices to 1, or train.backend to jax",
        )


def require_known_labels(params: Params, labels: Labels) -> None:
    """Refuse values by label for labels that the data does not have.

    Raises:
        UserError: names all of them.
    """
    alpha = params.loss.alpha
    texts = {
        "loss.alpha": alpha if isinstance(alpha, str) and alpha != "balanced" else None,
        "train.repeats": params.train.repeats,
    }
    problems = []
    for key, text in texts.items():
        try:
            labels.values(text or "", 1.0)
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if problems:
        known = zip(labels.numbers, labels.names, strict=True)
        raise UserError(
            "the parameters state values of labels that the data does not have",
            expected=f"numbers or names of {', '.join(f'{k} {name}' for k, name in known)}",
            received="\n    ".join(["", *problems]),
            remedy="correct these keys, in params.yaml or on the command line",
        )
