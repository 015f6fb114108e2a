"""ResNet-34 with four input channels, normalisation inside, and a head for 28 labels.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, table 1.
The backbone is KerasHub's, rebuilt from its plain layers: a saved model loads with keras alone.
"""

import re

import keras
import numpy as np

from hpa.labels import CHANNELS, N_LABELS

BACKBONE = "backbone"
GREY_LEVEL = 1 / 255


def build_resnet34(image_size: int, *, label_rates: np.ndarray, dropout: float) -> keras.Model:
    """Build the network, randomly initialised from Keras' global seed.

    Each channel of each image is brought to zero mean and unit variance: how bright a stain came
    out says little of where the protein sits, and differs from set to set (the competition's test
    images are dimmer). From scratch it learns as much in 75 steps as without it in 300.

    Args:
        image_size: height and width S of the images in pixels, a multiple of 32.
        label_rates: float[28] in [0,1], how often each label occurs: the head's bias starts
            there, so the first steps need not learn that most labels are rare
            (Lin et al., "Focal loss for dense object detection", ICCV 2017, section 4.1).
        dropout: share of the pooled features dropped in training.

    Returns:
        A model from uint8[B,S,S,4] to logits float32[B,28].
    """
    images = keras.Input((image_size, image_size, len(CHANNELS)), dtype="uint8", name="images")
    scaled = keras.layers.Rescaling(1 / 255, name="scaled")(images)
    normalised = keras.layers.GroupNormalization(
        groups=len(CHANNELS),
        epsilon=GREY_LEVEL**2,  # so that the noise of a blank channel stays small
        center=False,
        scale=False,
        name="normalisation",
    )(scaled)
    features = _backbone(image_size)(normalised)
    pooled = keras.layers.Concatenate(name="pooled")(
        [
            keras.layers.GlobalAveragePooling2D(name="average_pooling")(features),
            keras.layers.GlobalMaxPooling2D(name="max_pooling")(features),
        ]
    )
    pooled = keras.layers.BatchNormalization(momentum=0.9, name="head_normalisation")(pooled)
    pooled = keras.layers.Dropout(dropout, name="head_dropout")(pooled)
    head = keras.layers.Dense(N_LABELS, kernel_initializer="zeros", dtype="float32", name="logits")
    model = keras.Model(images, head(pooled), name="resnet34")
    rates = np.clip(label_rates, 1e-4, 1 - 1e-4)
    head.bias.assign(np.log(rates / (1 - rates)))
    return model


def _backbone(image_size: int) -> keras.Model:
    """Return ResNet-34 up to its last feature map, float[B,S,S,4] to float[B,S/32,S/32,512]."""
    from keras_hub.models import ResNetBackbone  # slow to import, and not needed to load a model

    backbone = ResNetBackbone(
        block_type="basic_block",
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_strides=[1, 2, 2, 2],
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        image_shape=(image_size, image_size, len(CHANNELS)),
    )
    for layer in backbone.layers:
        # Blocks start as identities (Goyal et al., "Accurate, large minibatch SGD", 2017, 5.1).
        if re.fullmatch(r"stack\d+_block\d+_2_bn", layer.name):
            layer.gamma.assign(keras.ops.zeros(layer.gamma.shape))
    return keras.Model(backbone.input, backbone.output, name=BACKBONE)
