"""Transfer of an older network's weights to a new one, by the names of channels and labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from hpa.errors import UserError
from hpa.model.first_layer import CONV1, kernel_of
from hpa.model.resnet import BACKBONE, HEAD, HEAD_NORMALISATION, MAX_POOLING
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import plain


@dataclass(frozen=True)
class Taken:
    """Parts that a new network takes over from an older one.

    Attributes:
        channels: for each channel of the new network, its place in the older one; None if that
            lacks it.
        labels: likewise for each label; all None if the features of the heads differ.
        features: whether the heads have the same features, so that their normalisation is taken.
    """

    channels: tuple[int | None, ...]
    labels: tuple[int | None, ...]
    features: bool

    @classmethod
    def plan(cls, new: Vocabulary, old: Vocabulary, *, features: bool) -> "Taken":
        """Match names, without regard to case."""
        labels = _places(new.labels.names, old.labels.names)
        channels = _places(new.channels.names, old.channels.names)
        return cls(channels, labels if features else (None,) * len(labels), features)

    def __str__(self) -> str:
        rows = f"{_count(self.labels)} of {len(self.labels)} head rows"
        head = rows if self.features else "a fresh head, as model.pooling is another"
        return f"backbone; {_count(self.channels)} of {len(self.channels)} channels; {head}"


def has_max_pooling(network: keras.Model) -> bool:
    """Tell whether the head of a network has maxima among its features.

    Raises:
        ValueError: it is not a network of `build_resnet34`.
    """
    names = {layer.name for layer in network.layers}
    if absent := {BACKBONE, HEAD_NORMALISATION, HEAD} - names:
        raise ValueError(f"no layer {', '.join(sorted(absent))}")
    return MAX_POOLING in names


def transfer(
    network: keras.Model,
    old: keras.Model,
    taken: Taken,
    *,
    channels: Channels,
    old_channels: Channels,
    fourth_channel: str,
) -> None:
    """Copy what is taken from an old network, bit by bit; the rest stays as initialised.

    The first layer's kernel of a channel that the old network lacks follows the rule of
    `hpa.model.first_layer`. Kernels are not rescaled: batch normalisation follows.

    Raises:
        UserError: the backbones have other layers.
    """
    new_backbone, old_backbone = (each.get_layer(BACKBONE) for each in (network, old))
    _require_same_layers(new_backbone, old_backbone)
    for layer in new_backbone.layers:
        if layer.name == CONV1:
            kernel, drawn = map(_array, (old_backbone.get_layer(CONV1).kernel, layer.kernel))
            colors = [channel.hex for channel in old_channels.channels]
            kernels = [
                kernel_of(channel.hex, kernel, colors, drawn[:, :, new], fourth_channel)
                if place is None
                else kernel[:, :, place]
                for new, (channel, place) in enumerate(
                    zip(channels.channels, taken.channels, strict=True)
                )
            ]
            layer.kernel.assign(np.stack(kernels, axis=2))
        elif layer.weights:
            layer.set_weights(old_backbone.get_layer(layer.name).get_weights())
    if taken.features:
        weights = old.get_layer(HEAD_NORMALISATION).get_weights()
        network.get_layer(HEAD_NORMALISATION).set_weights(weights)
        _copy_rows(network.get_layer(HEAD), old.get_layer(HEAD), taken.labels)


def _copy_rows(new: keras.Layer, old: keras.Layer, places: Sequence[int | None]) -> None:
    """Copy the weights and the bias of the labels that the old head has."""
    to = [row for row, place in enumerate(places) if place is not None]
    source = [place for place in places if place is not None]
    kernel, bias = _array(new.kernel), _array(new.bias)
    kernel[:, to], bias[to] = _array(old.kernel)[:, source], _array(old.bias)[source]
    new.set_weights([kernel, bias])


def _require_same_layers(new: keras.Model, old: keras.Model) -> None:
    shapes, found = (
        {
            layer.name: [tuple(weight.shape) for weight in layer.weights]
            for layer in backbone.layers
            if layer.weights and layer.name != CONV1
        }
        for backbone in (new, old)
    )
    differing = sorted(name for name in shapes | found if shapes.get(name) != found.get(name))
    if differing or _array(old.get_layer(CONV1).kernel).shape[-1] != new.get_layer(CONV1).filters:
        raise UserError(
            "model.weights: the model has another backbone",
            expected="a ResNet-34 that this program trained",
            received=f"other weights in {', '.join(differing[:4] or [CONV1])}",
            remedy="name another model",
        )


def _places(new: Sequence[str], old: Sequence[str]) -> tuple[int | None, ...]:
    known = {plain(name): place for place, name in enumerate(old)}
    return tuple(known.get(plain(name)) for name in new)


def _count(places: Sequence[int | None]) -> int:
    return sum(place is not None for place in places)


def _array(variable: object) -> np.ndarray:
    return np.array(ops.convert_to_numpy(variable))
