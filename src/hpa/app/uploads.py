"""Parse multipart forms into images, in memory: no byte of an upload reaches the disk."""

from pathlib import PurePosixPath

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from hpa.data.images.file_names import split_name
from hpa.data.images.formats import SUFFIXES
from hpa.vocabulary.channels import MAX_CHANNELS, Channels

MAX_NAME = 200
"""Characters kept of an image name: the last ones, which differ more than the first."""

Images = list[tuple[str, dict[str, bytes]]]
"""Name, not necessarily unique, and file contents by channel of each image, in the order sent."""


async def read_images(
    request: Request, channels: Channels, *, max_images: int, max_bytes: int
) -> Images:
    """Read the images of a form whose fields are channels; file names assign files to images.

    With the channels red and green, `red=@a_red.png, green=@a_green.png, green=@b_green.png` are
    the images `a` and `b`. The files are not decoded here.

    Raises:
        HTTPException: 400, the form is malformed or has unknown fields; 413, too many images.
    """
    n_files = max_images * (MAX_CHANNELS + 1)  # those of another model are named, not counted
    parser = MultiPartParser(request.headers, request.stream(), max_files=n_files, max_fields=0)
    parser.spool_max_size = max_bytes  # more than a body can hold: nothing spills to a file
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError) as error:
        reason = getattr(error, "message", str(error))
        raise HTTPException(400, f"the upload is not a form of image files: {reason}") from error
    try:
        images = await _group(form, channels)
    finally:
        await form.close()
    if not 0 < len(images) <= max_images:
        status = 413 if images else 400
        raise HTTPException(status, f"{len(images)} images (from 1 to {max_images} per request)")
    return images


async def _group(form: FormData, channels: Channels) -> Images:
    images: dict[str, dict[str, bytes]] = {}
    for channel, file in form.multi_items():
        if channel not in channels.names or not isinstance(file, UploadFile):
            known = ", ".join(channels.names)
            raise HTTPException(400, f"unknown field {channel[:40]!r} (fields are {known})")
        files = images.setdefault(_stem(file.filename or "", channel, channels), {})
        if channel in files:
            raise HTTPException(400, f"two files for the {channel} channel of one image")
        files[channel] = await file.read()
    return [(_readable(stem), files) for stem, files in images.items()]


def _stem(file_name: str, channel: str, channels: Channels) -> str:
    """Return the part of a file name that the channels of an image share, as it was sent."""
    path = PurePosixPath(file_name)
    if (parts := split_name(path, channels)) and parts[1] == channel:
        return str(path.with_name(parts[0]))
    name = str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else str(path)
    return name.removesuffix(f"_{channel}")


def _readable(stem: str) -> str:
    """Return the name to display."""
    name = stem.replace("\\", "/")
    text = "".join(letter if letter.isprintable() else "·" for letter in name)
    return text[-MAX_NAME:] if text not in ("", ".") else "image"
