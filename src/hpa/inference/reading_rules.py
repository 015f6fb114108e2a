"""Rules of reading images for prediction: those that section serve states, else as in training."""

from collections.abc import Mapping
from typing import Any

from hpa.config.sections import Serve
from hpa.data.images.channel_choice import places
from hpa.data.images.depth import DEFAULT, DepthRule
from hpa.data.images.reading import ReadingRules
from hpa.errors import UserError
from hpa.vocabulary.channels import Channels

EIGHT_BITS, SIXTEEN_BITS = "uint8", "uint16"


def reading_rules(serve: Serve, channels: Channels, made_with: Mapping[str, Any]) -> ReadingRules:
    """Return the rules of reading for a model.

    Args:
        serve: limits, and rules that replace those of training.
        channels: of the model.
        made_with: parameters of the training images by dotted key. Those of earlier versions have
            `fetch.sixteen_bit_white` and no depth.

    Raises:
        UserError: `serve` names channels that the model lacks, or percentiles that it never saw.
    """
    made_with = {**made_with, **made_with.get("found.of_sources", {})}
    found_as = made_with.get("fetch.found_as") if serve.found_as is None else serve.found_as
    z = made_with.get("fetch.z") if serve.z is None else serve.z
    own_size = serve.pixel_size_um
    _require_known(serve.found_as, channels)
    return ReadingRules(
        channels=channels,
        tinted=serve.tinted,
        depth=_depth(serve, made_with),
        z=z or "refuse",
        found_as=found_as,
        pixel_size_um=made_with.get("fetch.pixel_size_um") if own_size is None else own_size,
        max_size_px=serve.max_size_px,
        known_types=_known_types(made_with),
        black=tuple(str(made_with.get("fetch.missing_channels") or "").split()),
    )


def _depth(serve: Serve, made_with: Mapping[str, Any]) -> DepthRule:
    limits = {name: tuple(each) for name, each in made_with.get("found.limits", {}).items()}
    trained = made_with.get("fetch.depth") or made_with.get("fetch.sixteen_bit_white") or DEFAULT
    if trained == "set_percentile" and not limits:  # all images were of 8 bits
        trained = DEFAULT
    if serve.depth == "set_percentile" and not limits:
        raise UserError(
            "serve.depth cannot be set_percentile",
            expected="a model of images that fetch.depth: set_percentile converted",
            received=f"a model of fetch.depth: {trained}",
            remedy="set serve.depth to null, camera, percentile or the value of white",
        )
    depth = trained if serve.depth is None else serve.depth
    return DepthRule.of(depth, made_with.get("fetch.percentiles") or "", limits)


def _known_types(made_with: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types of values of the training images; models that say nothing saw 8 bits."""
    older = (
        (EIGHT_BITS, SIXTEEN_BITS) if made_with.get("fetch.sixteen_bit_white") else (EIGHT_BITS,)
    )
    return tuple(made_with.get("found.types", older))


def _require_known(found_as: str | None, channels: Channels) -> None:
    if unknown := sorted(set(places(found_as)) - set(channels.names)):
        raise UserError(
            "serve.found_as names channels that the model lacks",
            expected=f"some of {', '.join(channels.names)}",
            received=", ".join(unknown),
            remedy="correct it, such as "
            f"'{'; '.join(f'{name}={n}' for n, name in enumerate(channels.names, 1))}'",
        )
