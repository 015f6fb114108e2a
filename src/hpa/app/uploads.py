"""Parse multipart forms into images, in memory: no byte of an upload reaches the disk."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from hpa.data.images.file_names import (
    READ_SUFFIXES,
    found_as_advice,
    has_suffix,
    reason_to_pass,
    split_name,
    stem_of,
)
from hpa.vocabulary.channels import IMAGE_FILE, MAX_CHANNELS, Channels

MAX_NAME = 200
"""Characters kept of an image name: the last ones, which differ more than the first."""

Images = list[tuple[str, dict[str, bytes]]]
"""Name, not necessarily unique, and file contents by channel of each image, in the order sent; the
bytes of a file of several channels are those of every channel."""


@dataclass(frozen=True)
class NameRule:
    """The rule of `split_name` for the files of a model: see there."""

    channels: Channels
    pattern: str | None = None
    found_as: str | None = None

    def describe_all(self, file_names: list[str]) -> dict[str, Any]:
        """Return the `files` as described one by one, and `advice` for those that are not read."""
        files = [self.describe(each) for each in file_names]
        left = [
            PurePosixPath(n) for n, each in zip(file_names, files, strict=True) if not each["field"]
        ]
        line = found_as_advice(left).removeprefix("; ")
        advice = f"{line[0].upper()}{line[1:]}." if line else ""
        return {"files": files, "advice": advice}

    def describe(self, file_name: str) -> dict[str, str]:
        """Return `name` of the image, `field` of the form, and a `reason` if a file is not read."""
        path = PurePosixPath(file_name)
        words = {"pattern": self.pattern, "found_as": self.found_as}
        if found := split_name(path, self.channels, **words):
            name, channel = found
            return {"name": str(path.parent / name), "field": channel or IMAGE_FILE}
        reason = str(reason_to_pass(path, self.channels, **words))
        return {"name": str(path.parent / stem_of(path)), "field": "", "reason": reason}


async def read_images(
    request: Request, rule: NameRule, *, max_images: int, max_bytes: int
) -> Images:
    """Read the images of a form whose fields are channels; file names assign files to images.

    With the channels red and green, `red=@a_red.png, green=@a_green.png, green=@b_green.png` are
    the images `a` and `b`. The field `image_file=@c.ome.tif` holds all channels of the image `c`.
    The files are not decoded here.

    Raises:
        HTTPException: 400, the form is malformed or has unknown fields; 413, too many images; 415,
            it is not a form.
    """
    n_files = max_images * (MAX_CHANNELS + 1)  # those of another model are named, not counted
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "expected a form, multipart/form-data")
    parser = MultiPartParser(request.headers, request.stream(), max_files=n_files, max_fields=0)
    parser.spool_max_size = max_bytes  # more than a body can hold: nothing spills to a file
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError) as error:
        reason = getattr(error, "message", str(error))
        raise HTTPException(400, f"the upload is not a form of image files: {reason}") from error
    try:
        images = await _group(form, rule)
    finally:
        await form.close()
    if not 0 < len(images) <= max_images:
        status = 413 if images else 400
        raise HTTPException(status, f"{len(images)} images (from 1 to {max_images} per request)")
    return images


async def _group(form: FormData, rule: NameRule) -> Images:
    images: dict[str, dict[str, bytes]] = {}
    channels, known = rule.channels, [*rule.channels.names, IMAGE_FILE]
    for field, file in form.multi_items():
        if field not in known or not isinstance(file, UploadFile):
            raise HTTPException(
                400, f"unknown field {field[:40]!r} (fields are {', '.join(known)})"
            )
        files = images.setdefault(_stem(file.filename or "", field, rule), {})
        if field in files:
            what = "one image" if field == IMAGE_FILE else f"the {field} channel of one image"
            raise HTTPException(400, f"two files for {what}")
        files[field] = await file.read()
    return [(_readable(stem), _by_channel(files, channels)) for stem, files in images.items()]


def _by_channel(files: dict[str, bytes], channels: Channels) -> dict[str, bytes]:
    """Name a file of several channels for each of them."""
    if IMAGE_FILE not in files:
        return files
    if len(files) > 1:
        raise HTTPException(400, f"one image both as {IMAGE_FILE} and by channel: send one of them")
    return dict.fromkeys(channels.names, files[IMAGE_FILE])


def _stem(file_name: str, field: str, rule: NameRule) -> str:
    """Return the part of a file name that the files of an image share, as it was sent."""
    path = PurePosixPath(file_name)
    stem = stem_of(path) if has_suffix(path, READ_SUFFIXES) else path.name
    end = f"_{field}"
    if not stem.endswith(end) and (found := rule.describe(file_name))["field"] == field:
        return found["name"]
    return str(path.parent / stem.removesuffix(end))


def _readable(stem: str) -> str:
    """Return the name to display."""
    name = stem.replace("\\", "/")
    text = "".join(letter if letter.isprintable() else "·" for letter in name)
    return text[-MAX_NAME:] if text not in ("", ".") else "image"
