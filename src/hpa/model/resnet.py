"""ResNet-34 for any number of channels, with normalisation inside and a head of logits.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, table 1.
Layers have KerasHub's names, and pad and normalise as in PyTorch, so that PyTorch's weights give
the same features (see `pretrained`).
"""

import random
import re
from typing import Any

import keras
import numpy as np
from keras import layers

BACKBONE, HEAD_NORMALISATION, HEAD = "backbone", "head_normalisation", "logits"
MAX_POOLING = "max_pooling"
GREY_LEVEL = 1 / 255
BLOCKS, FILTERS = (3, 4, 6, 3), (64, 128, 256, 512)
DEPTHS = ("stem to second stack", "third and fourth stack", "head")


def build_resnet34(
    image_size: int,
    n_channels: int,
    *,
    label_rates: np.ndarray,
    dropout: float,
    pooling: str = "average_max",
    precision: str = "float32",
    synchronized: bool = False,
) -> keras.Model:
    """Build the network, randomly initialised from Keras' global seed.

    Each channel of each image is normalised to zero mean and unit variance: the brightness of a
    stain says little about the location of the protein, and differs between data sets (the
    competition's test images are dimmer). From scratch on the default images, macro F1 on
    validation is .235 after 75 steps with it and .201 without; on test .308 and .204 after 300.

    Args:
        image_size: height and width S of the images in pixels, a multiple of 32.
        n_channels: number K of channels.
        label_rates: float[C] in [0,1], the frequency of each label. It initialises the bias of
            the head, so the first steps need not learn that most labels are rare
            (Lin et al., "Focal loss for dense object detection", ICCV 2017, section 4.1).
        dropout: fraction of the pooled features dropped in training.
        pooling: `average`, or `average_max` for 512 averages and 512 maxima.
        precision: Keras dtype policy of the backbone; normalisation, head and all weights are
            float32.
        synchronized: whether batch normalisation spans all devices, on TensorFlow.

    Returns:
        A model from uint8[B,S,S,K] to logits float32[B,C].
    """
    images = keras.Input((image_size, image_size, n_channels), dtype="uint8", name="images")
    scaled = layers.Rescaling(1 / 255, dtype="float32", name="scaled")(images)
    normalised = layers.GroupNormalization(
        groups=n_channels,
        epsilon=GREY_LEVEL**2,  # so that the noise of a blank channel stays small
        center=False,
        scale=False,
        dtype="float32",
        name="normalisation",
    )(scaled)
    backbone = build_backbone(
        image_size, n_channels, precision=precision, synchronized=synchronized
    )
    features = backbone(normalised)
    pooled = layers.GlobalAveragePooling2D(dtype="float32", name="average_pooling")(features)
    if pooling == "average_max":
        maxima = layers.GlobalMaxPooling2D(dtype="float32", name=MAX_POOLING)(features)
        pooled = layers.Concatenate(dtype="float32", name="pooled")([pooled, maxima])
    pooled = layers.BatchNormalization(
        momentum=0.9, synchronized=synchronized, dtype="float32", name=HEAD_NORMALISATION
    )(pooled)
    # The seed that Keras would draw itself. Without it, PyTorch uses a random state that belongs
    # to no layer, so a checkpoint would not contain it.
    seed = random.randint(1, 10**9)
    pooled = layers.Dropout(dropout, seed=seed, dtype="float32", name="head_dropout")(pooled)
    head = layers.Dense(len(label_rates), kernel_initializer="zeros", dtype="float32", name=HEAD)
    model = keras.Model(images, head(pooled), name="resnet34")
    rates = np.clip(label_rates, 1e-4, 1 - 1e-4)
    head.bias.assign(np.log(rates / (1 - rates)))
    return model


def build_backbone(
    image_size: int, n_channels: int, *, precision: str = "float32", synchronized: bool = False
) -> keras.Model:
    """Return ResNet-34 up to its last feature map, [B,S,S,n_channels] to [B,S/32,S/32,512]."""
    block = _Block(precision, synchronized)
    features = keras.Input((image_size, image_size, n_channels))
    x = block.convolve(features, 64, kernel=7, stride=2, name="conv1")
    x = layers.Activation("relu", dtype=precision, name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, dtype=precision, name="pool1_pad")(x)  # nothing here is negative
    x = layers.MaxPooling2D(3, strides=2, dtype=precision, name="pool1_pool")(x)
    for stack, (n_blocks, filters) in enumerate(zip(BLOCKS, FILTERS, strict=True)):
        for place in range(n_blocks):
            narrowed = stack > 0 and place == 0
            x = block(x, filters, narrowed=narrowed, name=f"stack{stack}_block{place}")
    return keras.Model(features, x, name=BACKBONE)


def depth(path: str) -> int:
    """Return the index in `DEPTHS` of a variable's path."""
    found = re.search(r"\b(conv1|stack(\d)_block\d+)_", path)
    return 2 if found is None else int((found[2] or "0") in "23")


class _Block:
    """Basic block: two convolutions of 3 × 3 and a shortcut."""

    def __init__(self, precision: str, synchronized: bool) -> None:
        self.precision, self.synchronized = precision, synchronized

    def __call__(self, x: Any, filters: int, *, narrowed: bool, name: str) -> Any:
        """Return [B,H,W,filters], or [B,H/2,W/2,filters] if the block is narrowed."""
        stride, shortcut = 1 + narrowed, x
        if narrowed:
            shortcut = self.convolve(x, filters, kernel=1, stride=2, name=f"{name}_0")
        x = self.convolve(x, filters, kernel=3, stride=stride, name=f"{name}_1")
        x = layers.Activation("relu", dtype=self.precision, name=f"{name}_1_relu")(x)
        # Blocks start as identities (Goyal et al., "Accurate, large minibatch SGD", 2017, 5.1).
        x = self.convolve(x, filters, kernel=3, stride=1, name=f"{name}_2", gamma="zeros")
        x = layers.Add(dtype=self.precision, name=f"{name}_add")([shortcut, x])
        return layers.Activation("relu", dtype=self.precision, name=f"{name}_out")(x)

    def convolve(
        self, x: Any, filters: int, *, kernel: int, stride: int, name: str, gamma: str = "ones"
    ) -> Any:
        """Convolve and normalise; padding is symmetric as in PyTorch."""
        if kernel > 1 and stride > 1:
            x = layers.ZeroPadding2D(kernel // 2, dtype=self.precision, name=f"{name}_pad")(x)
        x = layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            dtype=self.precision,
            name=f"{name}_conv",
        )(x)
        return layers.BatchNormalization(
            epsilon=1e-5,
            momentum=0.9,
            gamma_initializer=gamma,
            synchronized=self.synchronized,
            dtype=self.precision,
            name=f"{name}_bn",
        )(x)
