"""Reading of an image: from files, bytes or numbers to one plane of 8-bit grey per channel.

Fetching, prediction, page and server read alike. A file may hold one channel or several, and is
then given for each of them. The protein channel is required. Other absent channels are black.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpa.data.images.channel_choice import (
    SlicesAsChannels,
    are_slices_channels,
    choose,
    is_by_position,
)
from hpa.data.images.decoding import MAX_SIZE_PX
from hpa.data.images.depth import DepthError, DepthRule, GreyPlane, to_grey
from hpa.data.images.formats import from_colour
from hpa.data.images.number_arrays import Numbers
from hpa.data.images.opened import Description, InvalidImageError, OpenedImage
from hpa.data.images.opening import open_image
from hpa.data.images.reading_notes import depth_flags, notes_on_channels
from hpa.errors import first_names
from hpa.vocabulary.channels import Channels

SAME_SIZE = 0.01
"""Relative difference up to which pixel sizes are called equal."""
PICTURES = ("PNG", "JPEG")


class UnreadableSourceError(InvalidImageError):
    """Error for one of the files of an image: `path`, None if it has none, and `reason`."""

    def __init__(self, place: str, reason: str, path: Path | None) -> None:
        super().__init__(f"{place}: {reason}")
        self.path, self.reason = path, reason


@dataclass(frozen=True)
class ReadingRules:
    """Rules of reading an image.

    Attributes:
        channels: those to read, in order.
        tinted: accept color pictures that show a channel in its own color.
        depth: how other than 8 bits become 8.
        z: of several slices in depth: `refuse`, `max` for the maximum projection, or the number of
            one from 1. A file of one slice is read by any.
        found_as: where a channel is in files of several, see `channel_choice`.
        pixel_size_um: micrometres, of files that do not state it.
        max_size_px: larger images are refused before they are decompressed.
        known_types: types of the values on which the model was trained; None: flag none.
        black: names of channels that a file may lack without a note, as in training.
    """

    channels: Channels
    tinted: bool = True
    depth: DepthRule = field(default_factory=DepthRule)
    z: str | int = "refuse"
    found_as: str | None = None
    pixel_size_um: float | None = None
    max_size_px: int = MAX_SIZE_PX
    known_types: tuple[str, ...] | None = None
    black: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ReadImage:
    """An image as its files hold it.

    Attributes:
        planes: K uint8[H,W] of one size, in the order of the channels; absent ones are black.
        pixel_size_um: width and height of a pixel in micrometres; None if unknown.
        flags: reasons to distrust it, in plain words.
        facts: the channels that were read, by name.
        absent: names of channels that are absent.
    """

    planes: list[np.ndarray]
    pixel_size_um: float | None
    flags: tuple[str, ...]
    facts: dict[str, GreyPlane]
    absent: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StoredChannels:
    """Channels of an image as stored: planes [H,W] and sources by name, and facts of the files."""

    planes: dict[str, np.ndarray]
    sources: dict[str, Any]
    bits: dict[str, int | None]
    pixel_size_um: float | None
    notes: tuple[str, ...]

    def to_grey(self, depth: DepthRule) -> dict[str, GreyPlane]:
        """Convert the channels to 8-bit grey.

        Raises:
            UnreadableSourceError: the rule refuses the values of a channel.
        """
        try:
            return to_grey(self.planes, depth, self.bits)
        except DepthError as error:
            source = self.sources[error.channel]
            path = source if isinstance(source, Path) else None
            if path and sum(each == path for each in self.sources.values()) > 1:
                raise UnreadableSourceError(path.name, str(error), path) from error
            raise UnreadableSourceError(error.channel, error.reason, path) from error


def read_planes(sources: Mapping[str, Any], rules: ReadingRules) -> ReadImage:
    """Read the channels of an image.

    Args:
        sources: for each channel a path, the bytes of a file, or an array or nested list [H,W]
            of integer grey levels from 0 to 255. None counts as absent. A file of several channels
            is the same path, or the same bytes object, for each of them.
        rules: see `ReadingRules`.

    Raises:
        InvalidImageError: a channel is invalid or unknown, that of the protein is absent, or sizes
            differ.
    """
    channels = rules.channels
    if unknown := sorted(set(sources) - set(channels.names)):
        known = f"the model has {', '.join(channels.names)}"
        raise InvalidImageError(f"unknown channels {', '.join(map(repr, unknown))}: {known}")
    protein = channels.names[channels.protein]
    if sources.get(protein) is None:
        raise InvalidImageError(f"no {protein} channel, which shows the protein")
    return to_image(read_stored(sources, rules), rules)


def to_image(read: StoredChannels, rules: ReadingRules) -> ReadImage:
    """Convert the channels of an image, as `read_stored` has them; see `read_planes`."""
    protein = rules.channels.names[rules.channels.protein]
    grey = read.to_grey(rules.depth)
    if protein not in grey:
        notes = "; ".join(read.notes)
        raise InvalidImageError(f"no {protein} channel, which shows the protein: {notes}")
    shape = grey[protein].pixels.shape
    sizes = [f"{name} {each.pixels.shape[1]}×{each.pixels.shape[0]}" for name, each in grey.items()]
    if any(each.pixels.shape != shape for each in grey.values()):
        raise InvalidImageError(f"channels of unequal size: {', '.join(sizes)}")
    return ReadImage(
        planes=[
            grey[name].pixels if name in grey else np.zeros(shape, np.uint8)
            for name in rules.channels.names
        ],
        pixel_size_um=read.pixel_size_um,
        flags=(*read.notes, *depth_flags(grey, rules.depth, rules.known_types)),
        facts=grey,
        absent=tuple(name for name in rules.channels.names if name not in grey),
    )


def read_stored(sources: Mapping[str, Any], rules: ReadingRules) -> StoredChannels:
    """Read those channels of an image that have a source and that it holds, in the stored type.

    Raises:
        UnreadableSourceError: a source is invalid.
        InvalidImageError: the sources contradict each other.
    """
    planes: dict[str, np.ndarray] = {}
    bits: dict[str, int | None] = {}
    sizes_um: dict[str, float] = {}
    notes: list[str] = []
    for names, source in _distinct(sources, rules.channels):
        with _named(names, source), _opened(source, rules) as opened:
            _require_one_field(opened.description, source, len(names))
            is_stack = are_slices_channels(
                opened.description, names, rules.found_as, by_number=rules.z == "refuse"
            )
            image = SlicesAsChannels(opened) if is_stack else opened
            described = image.description
            places = _places(described, names, rules)
            for name, place in places.items():
                if place is not None:
                    planes[name] = _plane(image, name, place, len(names), rules)
                    bits[name] = described.bits
                    if described.pixel_size_um:
                        sizes_um[name] = described.pixel_size_um
            notes += [
                *notes_on_channels(described, places, rules.channels, rules.found_as, rules.black),
                *opened.flags,
            ]
            if is_stack and not opened.description.slice_names:
                notes.append(f"its {opened.description.n_slices} slices are taken for channels")
    _require_one_pixel_size(sizes_um)
    ordered = {name: planes[name] for name in rules.channels.names if name in planes}
    protein = rules.channels.names[rules.channels.protein]
    stated = sizes_um.get(protein) or next(iter(sizes_um.values()), rules.pixel_size_um)
    return StoredChannels(ordered, dict(sources), bits, stated, tuple(notes))


def _distinct(sources: Mapping[str, Any], channels: Channels) -> Iterator[tuple[list[str], Any]]:
    """Yield each source once, with the channels that it is given for."""
    groups: dict[Any, tuple[list[str], Any]] = {}
    for name in channels.names:
        if (source := sources.get(name)) is not None:
            key = source if isinstance(source, Path) else id(source)
            groups.setdefault(key, ([], source))[0].append(name)
    yield from groups.values()


@contextmanager
def _named(names: Sequence[str], source: Any) -> Iterator[None]:
    """Name the channel, or the file of several, in an error."""
    path = source if isinstance(source, Path) else None
    place = names[0] if len(names) == 1 else path.name if path else "the file"
    try:
        yield
    except (OSError, InvalidImageError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise UnreadableSourceError(place, reason, path) from error


def _opened(source: Any, rules: ReadingRules) -> OpenedImage:
    if isinstance(source, Path | bytes):
        return open_image(source, max_size_px=rules.max_size_px)
    return Numbers(source, rules.max_size_px)


def _require_one_field(described: Description, source: Any, n_named: int) -> None:
    if described.n_scenes > 1:
        name = source.name if isinstance(source, Path) else "FILE"
        raise InvalidImageError(
            f"{described.n_scenes} fields in one file: name one, such as {name}#2, or export each"
        )
    if described.n_times > 1:
        raise InvalidImageError(
            f"a time series of {described.n_times} time points: export one, as an image is of one "
            f"moment{_if_channels(described, n_named)}"
        )


def _places(
    described: Description, names: Sequence[str], rules: ReadingRules
) -> dict[str, int | None]:
    """Return the index of the plane of each channel; None for those that the file lacks."""
    n_planes = len(described.channel_names)
    if described.is_color_picture and len(names) > 1:
        if rules.found_as is None or described.kind in PICTURES:
            raise InvalidImageError(
                "a red-green-blue picture: export each channel alone"
                + (
                    "; or say which color shows which channel, such as found_as: red=1; green=2; "
                    "blue=3"
                )
                * (described.kind not in PICTURES)
            )
        described = replace(described, channel_names=("red", "green", "blue"))
    elif n_planes == 1 and len(names) > 1:
        raise InvalidImageError(
            f"one channel{_slices(described)}, not the {len(names)} of {', '.join(names)}: "
            "give a file of each channel, or one that holds them all"
            f"{_if_channels(described, len(names))}"
        )
    if len(names) < len(rules.channels) and is_by_position(
        described, rules.channels, rules.found_as
    ):
        raise InvalidImageError(
            f"{n_planes} channels without names, in a file given for {', '.join(names)} alone: say "
            f"where it is, by its number: found_as: {'; '.join(f'{name}=1' for name in names)}"
        )
    return choose(described, rules.channels, rules.found_as, names)


def _slices(described: Description) -> str:
    listed = f" ({first_names(described.slice_names)})" if described.slice_names else ""
    return f" in {described.n_slices} slices{listed}" if described.n_slices > 1 else ""


def _if_channels(described: Description, n_named: int) -> str:
    """Return the way out of a stack that may hold channels; "" for others."""
    if (
        len(described.channel_names) > 1
        or n_named == 1
        or described.n_slices * described.n_times == 1
    ):
        return ""
    numbers = (
        ""
        if described.n_times > 1
        else ", or say which is which by labels or numbers, found_as: CHANNEL=1; …"
    )
    return (
        "; if these are the channels, make them so (in Fiji: Image > Hyperstacks > Stack to "
        f"Hyperstack){numbers}"
    )


def _plane(
    image: OpenedImage, name: str, place: int, n_named: int, rules: ReadingRules
) -> np.ndarray:
    """Read the plane of a channel, [H,W] in the stored type."""
    described = image.description
    if described.is_color_picture:
        picture = image.read(0)
        if n_named > 1:
            return np.ascontiguousarray(picture[..., place])
        channel = rules.channels.channels[rules.channels.names.index(name)]
        return from_colour(picture, channel, rules.tinted)
    n_slices, z = described.n_slices, rules.z
    if n_slices == 1:
        plane = image.read(place)
    elif z == "max":
        plane = image.read(place)
        for number in range(1, n_slices):
            plane = np.maximum(plane, image.read(place, number))
    elif isinstance(z, int) and z <= n_slices:
        plane = image.read(place, z - 1)
    else:
        refused = f"but z is {z}" if isinstance(z, int) else "a stack"
        raise InvalidImageError(
            f"{n_slices} slices in depth, {refused}: project them (z: max) or choose one by its "
            f"number (z: 1 to z: {n_slices})"
        )
    return plane.astype(plane.dtype.newbyteorder("="), copy=False)


def _require_one_pixel_size(sizes_um: Mapping[str, float]) -> None:
    if sizes_um and max(sizes_um.values()) > (1 + SAME_SIZE) * min(sizes_um.values()):
        stated = ", ".join(f"{name} {size:g} µm" for name, size in sizes_um.items())
        raise InvalidImageError(f"channels of unequal pixel size: {stated}")
