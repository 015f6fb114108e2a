"""Grad-CAM of a network with a linear head, exact and without gradients.

Grad-CAM (Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
localization", ICCV 2017, equations 1 and 2) weights feature map k of label c by the mean over its
Z pixels of d logit_c / d A_k and takes the positive part of the weighted sum. The last feature maps
enter a linear head: pooling, batch normalisation (in inference a scale and a shift), dropout (in
inference the identity) and a dense layer. With w_kc the product of the scale and the dense weight,

- average pooling has the derivative w_kc / Z at every pixel, so its mean is w_kc / Z;
- maximum pooling has w_kc at the largest pixel (shared among ties) and 0 elsewhere: mean w_kc / Z.

So the weights are sums of w_kc / Z over the poolings. This is class activation mapping (Zhou et
al., CVPR 2016) times 1 / Z, with the same numbers on TensorFlow, JAX and Torch.
"""

import keras
import numpy as np

from hpa.errors import UserError

POOLINGS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
PASSIVE = (keras.layers.Concatenate, keras.layers.Dropout)


def activation_maps(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return Grad-CAM of the logit of every label, float32[B,h,w,C], ≥ 0, not normalised.

    Args:
        model: from images to logits: global poolings of one feature map [B,h,w,K], then only
            concatenation, dropout, batch normalisation and one dense layer.
        images: uint8[B,S,S,K]; the whole batch must fit in memory.

    Raises:
        UserError: the head is not linear, so the maps would need gradients.
    """
    poolings, weights = _linear_head(model)
    features = keras.Model(model.input, poolings[0].input)
    maps = keras.ops.convert_to_numpy(features(images, training=False)).astype(np.float32)
    n_pixels = maps.shape[1] * maps.shape[2]
    return np.maximum(maps @ (weights / n_pixels).astype(np.float32), 0.0)


def _linear_head(model: keras.Model) -> tuple[list[keras.Layer], np.ndarray]:
    """Return the pooling layers and the sum of their weights, float64[K,C]."""
    poolings = [layer for layer in model.layers if isinstance(layer, POOLINGS)]
    if not poolings or len({id(layer.input) for layer in poolings}) != 1:
        raise _no_linear_head("no global pooling of one feature map")
    first = min(model.layers.index(layer) for layer in poolings)
    head = [layer for layer in model.layers[first:] if not isinstance(layer, (*POOLINGS, *PASSIVE))]
    dense = head[-1]
    if not _is_linear(dense):
        raise _no_linear_head(f"a last layer of kind {type(dense).__name__}, or with an activation")
    weights = keras.ops.convert_to_numpy(dense.kernel).astype(np.float64)
    for layer in head[:-1]:
        if not isinstance(layer, keras.layers.BatchNormalization):
            raise _no_linear_head(f"the layer {layer.name!r} of kind {type(layer).__name__}")
        weights = weights * _scale(layer)[:, None]
    n_features = int(poolings[0].input.shape[-1])
    if len(weights) != n_features * len(poolings):
        raise _no_linear_head(f"{len(weights)} inputs of its dense layer")
    return poolings, weights.reshape(len(poolings), n_features, -1).sum(axis=0)


def _is_linear(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.linear


def _scale(layer: keras.layers.BatchNormalization) -> np.ndarray:
    variance = keras.ops.convert_to_numpy(layer.moving_variance).astype(np.float64)
    gamma = keras.ops.convert_to_numpy(layer.gamma) if layer.scale else 1.0
    return np.asarray(gamma / np.sqrt(variance + layer.epsilon))


def _no_linear_head(received: str) -> UserError:
    return UserError(
        "activation maps need a linear head",
        expected="global average or maximum pooling, then concatenation, dropout, batch "
        "normalisation and one dense layer without activation",
        received=received,
        remedy="skip the maps (explain.n_per_label: 0), or use a linear head",
    )
