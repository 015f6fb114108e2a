"""Opening of an image file or its bytes by what they hold; names of files decide nothing.

A file of several fields (scenes, positions, series) is opened at one of them: `x.lif#3` is the
third, counted from 1.
"""

import re
from pathlib import Path

from hpa.data.images.decoding import MAX_SIZE_PX
from hpa.data.images.headers import JPEG_SIGNATURE, PNG_SIGNATURE, TIFF_SIGNATURES
from hpa.data.images.opened import InvalidImageError, OpenedImage

ZIP_SIGNATURE = b"PK\x03\x04"
CZI_SIGNATURE, ND2_SIGNATURE = b"ZISRAWFILE", b"\xda\xce\xbe\x0a"
LIF_SIGNATURE = b"\x70\x00\x00\x00"
HEAD_BYTES = 16


def split_scene(path: Path) -> tuple[Path, int | None]:
    """Return the file and the number of the scene, from 1, that a path such as `x.lif#3` names.

    >>> split_scene(Path("x.lif#3")), split_scene(Path("x.lif"))
    ((PosixPath('x.lif'), 3), (PosixPath('x.lif'), None))
    """
    match = re.fullmatch(r"(.+)#([1-9]\d{0,5})", path.name)
    if not match or path.exists():
        return path, None
    return path.with_name(match[1]), int(match[2])


def open_image(source: Path | bytes, *, max_size_px: int = MAX_SIZE_PX) -> OpenedImage:
    """Open an image file, a folder of OME-Zarr, or the bytes of a file.

    No pixel is decoded. A file of several scenes is opened at its first if none is named; its
    description has their number.

    Raises:
        InvalidImageError: it is not an image, is damaged, or exceeds `max_size_px` on a side.
        OSError: it cannot be read.
    """
    path, scene = split_scene(source) if isinstance(source, Path) else (source, None)
    if isinstance(path, Path) and path.is_dir():
        from hpa.data.images.zarr_files import ZarrImage

        return ZarrImage(path, scene=scene, max_size_px=max_size_px)
    head = _head(path)
    if not head:
        raise InvalidImageError("an empty file")
    if head.startswith(ZIP_SIGNATURE):
        from hpa.data.images.zarr_files import ZarrImage

        return ZarrImage(path, scene=scene, max_size_px=max_size_px)
    if head.startswith(TIFF_SIGNATURES):
        from hpa.data.images.tiff_files import TiffImage

        return TiffImage(path, scene=scene, max_size_px=max_size_px)
    if head.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        from hpa.data.images.formats import PictureFile

        return PictureFile(path, max_size_px=max_size_px)
    if head.startswith((CZI_SIGNATURE, ND2_SIGNATURE, LIF_SIGNATURE)):
        from hpa.data.images.vendor_files import open_vendor_image

        return open_vendor_image(path, scene=scene, max_size_px=max_size_px)
    raise InvalidImageError("neither a picture (PNG, TIFF, JPEG) nor a microscope's file")


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:HEAD_BYTES]
    with source.open("rb") as file:
        return file.read(HEAD_BYTES)
