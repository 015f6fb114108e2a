"""Arrangement of the planes of an OME-TIFF, which may spread over several files of a folder."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpa.data.images.ome_xml import Ome, OmeImage, TiffData
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.tiff_directories import HEIGHT, SAMPLES, WIDTH, Directory
from hpa.data.images.tiff_layouts import Layout, Plane, arrange, contradiction


def ome_layout(
    ome: Ome, directories: Sequence[Directory], path: Path | None, scene: int | None
) -> Layout:
    """Arrange the planes of one image of an OME-TIFF.

    Args:
        ome: its metadata.
        directories: of the file's pages.
        path: of the file; None if it is in memory.
        scene: number of the image among those in this file, from 1; None takes the first.

    Raises:
        InvalidImageError: files of the set are missing, the image does not exist, or the metadata
            contradict the pages.
    """
    images = [each for each in ome.images if not each.is_without_pixels]
    _forget_own_name(images, ome.uuid, path)
    here = [each for each in images if not each.parts or any(not p.file for p in each.parts)]
    here = here or images
    if not here:
        raise contradiction("OME metadata without an image")
    if (scene or 1) > len(here):
        raise InvalidImageError(f"OME-TIFF of {len(here)} images: none has number {scene}")
    image = here[(scene or 1) - 1]
    _check_files(image, path)
    _count_samples(image, directories)
    layout = Layout("OME-TIFF", tuple(image.channel_names), {}, 1, 1, len(here))
    stored = _stored(image, len(directories))
    sizes = dict(image.sizes) | {"C": max(1, image.sizes["C"] // image.n_samples)}
    layout = replace(layout, bits=image.significant_bits, pixel_size_um=image.pixel_size_um)
    layout = arrange(layout, stored, image.order, sizes, image.n_samples)
    for place in layout.planes.values():
        _check_page(place, directories, image)
    return layout


def _forget_own_name(images: Sequence[OmeImage], uuid: str, path: Path | None) -> None:
    """Set the file of each part to "" if it is the opened file, which may have been renamed."""
    parts = [part for image in images for part in image.parts]
    is_alone = len({part.file for part in parts}) == 1
    for part in parts:
        is_named = path is not None and part.file.lower() == path.name.lower()
        if is_alone or is_named or (uuid and part.uuid == uuid):
            part.file = ""


def _check_files(image: OmeImage, path: Path | None) -> None:
    """Check that the files of an image lie beside the opened one."""
    names = list(dict.fromkeys(part.file for part in image.parts if part.file))
    if not names:
        return
    if path is None:
        raise InvalidImageError(
            f"one of {len(names) + 1} files of an OME-TIFF: save the image as one file"
        )
    missing = [name for name in names if not beside(path, name).is_file()]
    if missing:
        shown = ", ".join(each[:100] for each in missing[:3])
        raise InvalidImageError(
            f"one of {len(names) + 1} files of an OME-TIFF, of which {len(missing)} are missing "
            f"beside it: {shown}"
        )


def beside(path: Path, name: str) -> Path:
    """Return the path of another file of the set; it never leaves the folder."""
    return path.with_name(Path(name.replace("\\", "/")).name or "?")


def _count_samples(image: OmeImage, directories: Sequence[Directory]) -> None:
    """Take the samples per pixel from the page if the metadata leave them out."""
    own = [part.page for part in image.parts if not part.file] or [0]
    if image.n_samples == 1 and 0 <= own[0] < len(directories):
        n_samples = directories[own[0]].number(SAMPLES, 1)
        image.n_samples = n_samples if image.sizes["C"] % n_samples == 0 else 1


def _stored(image: OmeImage, n_pages: int) -> list[Plane]:
    """Return the places of the planes in the order of the image's axes."""
    axes = image.order
    sizes = [
        max(1, image.sizes["C"] // image.n_samples) if axis == "C" else image.sizes[axis]
        for axis in axes
    ]
    n_planes = math.prod(sizes)
    places: list[Plane | None] = [None] * n_planes
    for part in image.parts or [TiffData(dict.fromkeys("CZT", 0), 0, None)]:
        start, stride = 0, 1
        for axis, size in zip(axes, sizes, strict=True):
            if not 0 <= part.first[axis] < size:
                raise contradiction(f"OME metadata with a plane {axis} {part.first[axis]}")
            start, stride = start + stride * part.first[axis], stride * size
        here = n_planes if part.file else n_pages - part.page
        if part.n_planes is None and not part.file and here > n_planes - start:
            raise contradiction(
                f"OME metadata that announce {n_planes} planes, but {here} are there"
            )
        most = min(n_planes - start, here)
        number = most if part.n_planes is None else min(part.n_planes, n_planes - start)
        for at in range(max(0, number)):
            places[start + at] = Plane(part.page + at, part.file)
    found = [each for each in places if each is not None]
    if len(found) < n_planes:
        raise InvalidImageError(
            f"OME-TIFF without {n_planes - len(found)} of its {n_planes} planes: the recording was "
            "stopped, or the file is cut"
        )
    return found


def _check_page(place: Plane, directories: Sequence[Directory], image: OmeImage) -> None:
    """Check a plane of the opened file against the metadata."""
    if place.file:
        return
    if not 0 <= place.page < len(directories):
        raise contradiction(f"OME metadata that name page {place.page + 1} of {len(directories)}")
    page = directories[place.page]
    said = image.sizes["X"], image.sizes["Y"], image.n_samples
    stored = page.number(WIDTH, 0), page.number(HEIGHT, 0), page.number(SAMPLES, 1)
    if said != stored:
        raise contradiction(
            f"OME metadata that announce {said[0]}×{said[1]} pixels, but the page has "
            f"{stored[0]}×{stored[1]}"
        )
