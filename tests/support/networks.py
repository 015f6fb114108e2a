"""A network that trains in milliseconds, with all state that a checkpoint must contain."""

import keras
import numpy as np

from hpa.config.params import Params
from hpa.data.batches.augmentation import with_augmentation
from hpa.model.losses import make_loss
from hpa.system import devices
from hpa.vocabulary.document import Vocabulary


def compiled_small_networks(
    params: Params, vocabulary: Vocabulary, image_size: int, label_rates: np.ndarray
) -> tuple[keras.Model, keras.Model]:
    """Replace `compiled_networks`: batch normalisation, dropout, AdamW and a schedule."""
    n_devices = params.train.n_devices
    with devices.data_parallel(n_devices):
        return _compiled(params, vocabulary, image_size, label_rates, n_devices)


def _compiled(
    params: Params,
    vocabulary: Vocabulary,
    image_size: int,
    label_rates: np.ndarray,
    n_devices: int,
) -> tuple[keras.Model, keras.Model]:
    images = keras.Input(
        (image_size, image_size, len(vocabulary.channels)), dtype="uint8", name="images"
    )
    features = keras.layers.Rescaling(1 / 255, name="scaled")(images)
    features = keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="convolution")(features)
    normalisation = keras.layers.BatchNormalization(
        synchronized=devices.synchronized(n_devices), name="normalisation"
    )
    features = normalisation(features)
    features = keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    features = keras.layers.Dropout(0.5, seed=params.train.seed, name="dropout")(features)
    head = keras.layers.Dense(len(label_rates), name="logits")
    network = keras.Model(images, head(features), name="small")
    loss = make_loss(params.loss, label_rates, vocabulary.labels)
    schedule = keras.optimizers.schedules.CosineDecay(0.05, params.train.n_steps)
    model = with_augmentation(network, params.augment)
    jit = devices.jit_compile(n_devices)
    model.compile(optimizer=keras.optimizers.AdamW(schedule), loss=loss, jit_compile=jit)
    model.optimizer.build(model.trainable_variables)
    network.compile(loss=loss, jit_compile=jit)
    return network, model
