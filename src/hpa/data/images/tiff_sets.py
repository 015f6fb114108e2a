"""A glance into the header of a TIFF: is it one plane, all channels, or a part of an image?

An OME-TIFF may spread over several files, each of which names all of them.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.tiff_directories import SAMPLES
from hpa.data.images.tiff_files import TiffFile

FILE_NAME = re.compile(r"""FileName\s*=\s*["']([^"']+)["']""")
METADATA_FILE = re.compile(r"""<(?:\w+:)?BinaryOnly\b[^>]*MetadataFile\s*=\s*["']([^"']+)["']""")
CHANNELS = re.compile(
    r"""\bSizeC\s*=\s*["'](\d{1,9})["']|^channels=(\d{1,9})[ \r]*$""", re.MULTILINE
)
IMAGEJ_IMAGES = re.compile(r"^images=(\d{1,9})[ \r]*$", re.MULTILINE)


@dataclass(frozen=True)
class TiffGlance:
    """Facts that a TIFF header states; the defaults for another or a damaged file.

    Attributes:
        is_one_plane: it holds one plane of one sample, so it cannot be an image of two channels.
        n_channels: of the image, as OME-XML or ImageJ state it; 1 if they do not.
        files: the existing files of the image, the first one first; empty if it is not spread.
    """

    is_one_plane: bool = False
    n_channels: int = 1
    files: tuple[Path, ...] = ()


def glance(path: Path) -> TiffGlance:
    """Read the pages' directories of a TIFF, in about a quarter of a millisecond."""
    try:
        with TiffFile(path) as file:
            text = file.first.description
            is_one_page = len(file.directories) == 1 and not file.parsed.is_stk
            n_samples = file.directories[0].number(SAMPLES, 1)
    except (InvalidImageError, OSError):  # whatever is wrong with it, the reader says so
        return TiffGlance()
    n_images = IMAGEJ_IMAGES.search(text)
    n_channels = max([int(a or b) for a, b in CHANNELS.findall(text)], default=1)
    files = _files(path, text)
    is_one_plane = is_one_page and n_samples == 1 and not files and int((n_images or "01")[1]) == 1
    return TiffGlance(is_one_plane, n_channels, files)


def _files(path: Path, text: str) -> tuple[Path, ...]:
    """Return the files of a folder over which this image is spread; of one file, none."""
    if master := METADATA_FILE.search(text):
        first = path.with_name(html.unescape(master[1]))
        return (first, path) if first != path and first.is_file() else ()
    for image in re.split(r"<(?:\w+:)?Image\b", text)[1:]:
        names = list(dict.fromkeys(html.unescape(each) for each in FILE_NAME.findall(image)))
        if path.name in names and len(names) > 1 and not any({"/", "\\"} & set(n) for n in names):
            return tuple(each for name in names if (each := path.with_name(name)).is_file())
    return ()
