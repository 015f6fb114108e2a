"""Which weights these are, whatever file they came in."""

import hashlib

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
