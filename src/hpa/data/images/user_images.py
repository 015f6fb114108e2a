"""Find and read a user's images for prediction, by the same rules as the sources.

An image is up to four files named <name>_<channel>.<suffix>. The protein channel, green, is
required. Other absent channels are black, and predictions carry a quality flag for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np

from hpa.data.images import catalogue
from hpa.data.images.decoding import MAX_SIZE_PX, ODD_SIZES, merge_channels
from hpa.data.images.formats import SUFFIXES, InvalidImageError, decode_grey
from hpa.errors import UserError
from hpa.labels import CHANNELS

PROTEIN = "green"


@dataclass(frozen=True)
class ReadingRules:
    """Rules of reading an image.

    Attributes:
        image_size: height and width S of the network's input, in pixels.
        odd_size: treatment of images that are not square, a key of `ODD_SIZES`.
        tinted: accept colour images that show a channel in its own colour.
        sixteen_bit_white: the value of 16-bit files that maps to 255; None refuses such files.
        max_size_px: larger images are refused before they are decompressed.
    """

    image_size: int
    odd_size: str
    tinted: bool
    sixteen_bit_white: int | None
    max_size_px: int = MAX_SIZE_PX


def find_images(paths: list[str]) -> dict[str, dict[str, Path]]:
    """Find images in files, folders, globs and CSVs, as the path of each channel by image name.

    Folders are searched recursively, and their images named by relative path. A CSV has the columns
    Id, green and optionally the other channels, with paths relative to its folder.

    Raises:
        UserError: a path matches no image, a file name does not end in a channel, or two images
            have the same name.
    """
    found: dict[str, dict[str, Path]] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            _add_files(found, sorted(path.rglob("*")), path, strict=False)
        elif path.suffix.lower() == ".csv":
            for row in catalogue.read_csv(path, ["Id", PROTEIN], CHANNELS).to_dict("records"):
                for channel in CHANNELS:
                    if row.get(channel):
                        _add(found, row["Id"], channel, path.parent / row[channel])
        elif path.is_file() or not has_magic(text):
            _add_files(found, [path], path.parent, strict=True)
        else:
            matches = [Path(each) for each in sorted(glob(text, recursive=True))]  # noqa: PTH207
            if not matches:
                raise _nothing_at(text)
            _add_files(found, [each for each in matches if each.is_file()], None, strict=False)
    if not found:
        raise _nothing_at(" ".join(paths))
    return found


def read_planes(sources: Mapping[str, Any], rules: ReadingRules) -> list[np.ndarray]:
    """Read the channels of an image as four uint8[H,W] of one size; absent ones are black.

    Args:
        sources: for each channel a path, the bytes of a file, or an array or nested list [H,W]
            of integer grey levels from 0 to 255. None counts as absent.
        rules: see `ReadingRules`.

    Raises:
        InvalidImageError: green is absent, a channel is invalid, or their sizes differ.
    """
    given = {name: sources[name] for name in CHANNELS if sources.get(name) is not None}
    if unknown := sorted(set(sources) - set(CHANNELS)):
        raise InvalidImageError(f"unknown channels {', '.join(map(repr, unknown))}")
    if PROTEIN not in given:
        raise InvalidImageError(f"no {PROTEIN} channel, which shows the protein")
    planes = {name: _read_plane(name, source, rules) for name, source in given.items()}
    shape = planes[PROTEIN].shape
    sizes = [f"{name} {plane.shape[1]}×{plane.shape[0]}" for name, plane in planes.items()]
    if any(plane.shape != shape for plane in planes.values()):
        raise InvalidImageError(f"channels of unequal size: {', '.join(sizes)}")
    return [planes.get(name, np.zeros(shape, np.uint8)) for name in CHANNELS]


def to_pixels(planes: list[np.ndarray], rules: ReadingRules) -> np.ndarray:
    """Resize four uint8[H,W] to the network's input, uint8[S,S,4], exactly as `pack` does.

    Raises:
        InvalidImageError: they are not square, and `odd_size` is `refuse`.
    """
    squares = [ODD_SIZES[rules.odd_size](plane) for plane in planes]
    height, width = squares[0].shape
    if height != width:
        raise InvalidImageError(
            f"{width}×{height} pixels: not square, and the model was trained on square images"
        )
    return merge_channels(squares, rules.image_size)


def _read_plane(channel: str, source: Any, rules: ReadingRules) -> np.ndarray:
    try:
        if isinstance(source, Path):
            source = source.read_bytes()
        if isinstance(source, bytes):
            return decode_grey(
                source,
                channel,
                tinted=rules.tinted,
                sixteen_bit_white=rules.sixteen_bit_white,
                max_size_px=rules.max_size_px,
            )
        return _from_numbers(source, rules.max_size_px)
    except (OSError, InvalidImageError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidImageError(f"{channel}: {reason}") from error


def _from_numbers(source: Any, max_size_px: int) -> np.ndarray:
    """Return grey levels [H,W] as uint8, if they are valid."""
    try:
        numbers = np.asarray(source)
        if numbers.dtype == object:  # rows of a table are arrays of arrays
            numbers = np.stack([np.asarray(row) for row in source])
    except (TypeError, ValueError) as error:
        raise InvalidImageError("rows of unequal length, or not numbers") from error
    if numbers.ndim != 2 or not numbers.size:
        raise InvalidImageError(f"an array of shape {numbers.shape}, not [height, width]")
    if max(numbers.shape) > max_size_px:
        height, width = numbers.shape
        raise InvalidImageError(f"{width}×{height} pixels (at most {max_size_px}×{max_size_px})")
    if numbers.dtype.kind not in "uif":
        raise InvalidImageError(f"an array of {numbers.dtype}, not of grey levels")
    wrong = ~((numbers >= 0) & (numbers <= 255) & (numbers == np.floor(numbers)))
    if wrong.any():
        raise InvalidImageError(f"the value {numbers[wrong][0]}, not an integer from 0 to 255")
    return np.ascontiguousarray(numbers.astype(np.uint8))


def _add_files(
    found: dict[str, dict[str, Path]], files: list[Path], root: Path | None, *, strict: bool
) -> None:
    """Assign files to images by their names; ignore other files, or refuse them if `strict`."""
    for path in files:
        stem, _, channel = path.stem.rpartition("_")
        if channel in CHANNELS and stem and path.suffix.lower() in SUFFIXES:
            folder = path.parent if root is None else path.parent.relative_to(root)
            _add(found, str(folder / stem), channel, path)
        elif strict and not path.exists():
            raise _nothing_at(str(path))
        elif strict:
            raise UserError(
                f"the name of {path} does not end in a channel",
                expected=f"<name>_<channel> with {', '.join(CHANNELS)}; {', '.join(SUFFIXES)}",
                received=path.name,
                remedy="rename it, or list files and channels in a CSV",
            )


def _add(found: dict[str, dict[str, Path]], name: str, channel: str, path: Path) -> None:
    files = found.setdefault(name, {})
    if files.setdefault(channel, path).absolute() != path.absolute():
        raise UserError(
            f"two files for the {channel} channel of {name!r}",
            expected="one file per channel, and a unique name for each image",
            received=f"{files[channel]} and {path}",
            remedy="rename or omit one of them",
        )


def _nothing_at(text: str) -> UserError:
    return UserError(
        f"there is no image at {text}",
        expected=f"<name>_{{{','.join(CHANNELS)}}} as PNG, TIFF or JPEG: files, folders, globs, or "
        "a CSV with the columns Id, red, green, blue, yellow",
        received=f"no such files (from {Path.cwd()})",
        remedy="check the path, or rename the files",
    )
