"""Measurement of one image: what its files say, whether it is read, and what it shows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np

from hpa.data.images.decoding import view_hashes
from hpa.data.images.depth import CAMERA_BITS
from hpa.data.images.framing import FramingRules, to_tiles
from hpa.data.images.opened import Description, InvalidImageError
from hpa.data.images.opening import open_image
from hpa.data.images.reading import ReadingRules, read_stored, to_image
from hpa.data.inspection.faults import faults
from hpa.data.packed.training_range import BLANK_STD, brightness_and_focus

HASHED_PX = 96
"""Height and width to which an image is reduced before it is hashed."""
FULL = {2.0**bits - 1 for bits in CAMERA_BITS}
"""Largest values of cameras."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
"""Files that are read once as a whole; of others, parts are read."""


@dataclass(frozen=True)
class Measured:
    """All that is known of an image.

    Attributes:
        name: of the image.
        refusal: why it cannot be used; None if it can.
        files: each of its files and its description, as far as it could be opened.
        brightest, saturated: stored value, and share of pixels that have it if it is the largest
            value of 8, 10, 12, 14 or 16 bits, by channel; else 0.
        dtypes: as stored, by channel.
        planes_shape: height and width; None if it is refused.
        pixel_size_um: as fetch takes it.
        flags: assumptions on the channels of its files.
        absent: channels that it lacks.
        cut_fraction, is_coarse: what the conversion to 8 bits loses, see `depth.GreyPlane`.
        hashes: of its views, as `pack` computes them; of the middle square if it is not square.
        focus: of each channel, NaN if blank or absent.
        faults: by kind; see `hpa.data.inspection.faults`.
    """

    name: str
    refusal: str | None = None
    files: tuple[tuple[str, Description], ...] = ()
    brightest: Mapping[str, float] = field(default_factory=dict)
    saturated: Mapping[str, float] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    planes_shape: tuple[int, int] | None = None
    pixel_size_um: float | None = None
    flags: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    cut_fraction: float = 0.0
    is_coarse: bool = False
    hashes: str = ""
    focus: tuple[float, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


class _Reduced(TypedDict):
    hashes: str
    focus: tuple[float, ...]


def measure(
    name: str, sources: Mapping[str, Path], rules: ReadingRules, *, framed: bool
) -> Measured:
    """Read an image as fetch does, and measure it.

    Args:
        name: of the image.
        sources: the file of each channel that it has.
        rules: of reading.
        framed: whether images are framed on their content.
    """
    files: list[tuple[str, Description]] = []
    protein = rules.channels.names[rules.channels.protein]
    try:
        contents = {path: _content(path) for path in dict.fromkeys(sources.values())}
        for path, content in contents.items():
            with _named(path), open_image(content, max_size_px=rules.max_size_px) as opened:
                files.append((path.name, opened.description))
        if protein not in sources:
            raise InvalidImageError(f"no file of the {protein} channel, which shows the protein")
        given = {channel: contents[path] for channel, path in sources.items()}
        stored = read_stored(given, rules)
        read = to_image(stored, rules)
    except (InvalidImageError, OSError) as error:
        return Measured(name, refusal=_reason(error, sources), files=tuple(files))
    present = [each for each in rules.channels.names if each in stored.planes]
    brightest = {each: float(plane.max()) for each, plane in stored.planes.items()}
    grey = [read.facts[each].pixels for each in present]
    return Measured(
        name,
        files=tuple(files),
        dtypes={each: read.facts[each].stored for each in present},
        brightest=brightest,
        saturated={name: _share(stored.planes[name], brightest[name]) for name in present},
        planes_shape=(grey[0].shape[0], grey[0].shape[1]),
        pixel_size_um=read.pixel_size_um,
        flags=read.flags,
        absent=read.absent,
        cut_fraction=max(fact.cut_fraction for fact in read.facts.values()),
        is_coarse=any(fact.is_coarse for fact in read.facts.values()),
        faults=faults(grey, present, framed),
        **_reduced(read.planes, read.absent, rules, framed),
    )


def _share(plane: np.ndarray, brightest: float) -> float:
    """Return the share of pixels that have the brightest value; 0 if no camera ends there."""
    return np.count_nonzero(plane == brightest) / plane.size if brightest in FULL else 0.0


def _content(path: Path) -> Path | bytes:
    """Return the bytes of a picture, so that it is read once; else the path."""
    is_picture = path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    return path.read_bytes() if is_picture else path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in an error."""
    try:
        yield
    except InvalidImageError as error:
        raise InvalidImageError(f"{path.name}: {error}") from error


def _reason(error: Exception, sources: Mapping[str, Path]) -> str:
    """Describe what is wrong, with the name of the file."""
    if isinstance(error, OSError) and error.filename:
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    place, _, reason = str(error).partition(": ")
    if place in sources:
        return f"{sources[place].name}: {reason}"
    files = {path.name for path in sources.values()}
    is_named = place in files or len(files) > 1
    return str(error) if is_named else f"{files.pop()}: {reason if place == 'the file' else error}"


def _reduced(
    planes: list[np.ndarray], absent: Sequence[str], rules: ReadingRules, framed: bool
) -> _Reduced:
    """Hash K planes as `pack` does, and measure their focus."""
    framing = FramingRules(HASHED_PX, "crop", "content" if framed else "none")
    pixels = to_tiles(planes, None, framing)[0]
    focus = brightness_and_focus(pixels)[1]
    blank = np.array([cv2.meanStdDev(plane)[1][0, 0] for plane in cv2.split(pixels)]) < BLANK_STD
    blank |= np.isin(rules.channels.names, absent)
    focus[blank] = np.nan
    return {"hashes": view_hashes(pixels), "focus": tuple(focus.tolist())}
