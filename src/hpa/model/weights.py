"""Which weights these are, whatever file they came in, and a network that loads anywhere."""

import hashlib
from typing import Any

import keras
import numpy as np


def weights_sha256(model: keras.Model) -> str:
    """Digest a model's weights: path, shape, type and bytes of each array, in the model's order.

    Archives carry dates, so their bytes differ where the weights do not.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{weight.path} {array.shape} {array.dtype}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def portable(network: keras.Model) -> keras.Model:
    """Return a copy that computes in float32 on one device, with the same weights.

    What trained in bfloat16 or on several devices would otherwise ask for the same to be loaded.
    A network that does so already is not copied, and shares its weights.
    """
    bare = keras.Model(network.input, network.output, name=network.name)  # as if never compiled
    layers = network._flatten_layers(include_self=False)
    if all(
        layer.compute_dtype == "float32" and not getattr(layer, "synchronized", False)
        for layer in layers
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
