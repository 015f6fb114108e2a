"""Digest of a model's weights, and a copy of a network that loads anywhere."""

import hashlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def weights_sha256(model: keras.Model) -> str:
    """Digest a model's weights: path, shape, dtype and bytes of each array, in the model's order.

    Archives hold dates, so their bytes differ even if the weights do not.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{weight.path} {array.shape} {array.dtype}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def portable(network: keras.Model) -> keras.Model:
    """Return a copy that computes in float32 on one device, with the same weights.

    A network trained in bfloat16 or on several devices would otherwise require the same to load.
    A network that already computes so is not copied; the result shares its weights.
    """
    bare = keras.Model(network.input, network.output, name=network.name)  # as if never compiled
    if all(
        layer.compute_dtype == "float32" and not getattr(layer, "synchronized", False)
        for layer in all_layers(network)
    ):
        return bare

    def plain(layer: Any) -> Any:
        config = layer.get_config()
        if "synchronized" in config:
            config["synchronized"] = False
        return layer.__class__.from_config({**config, "dtype": "float32"})

    copy = keras.models.clone_model(bare, clone_function=plain, recursive=True)
    copy.set_weights(network.get_weights())
    return copy


def all_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers of a model and of the models nested in it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
