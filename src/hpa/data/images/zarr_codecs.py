"""Decompression of Zarr chunks to at most the bytes that a chunk has.

Zarr's own codecs decompress whatever a file holds: a few kilobytes may become all memory.
"""

import asyncio
import math
from typing import Any

import imagecodecs
import numpy as np
from zarr.abc.codec import BytesBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer
from zarr.registry import register_codec

from hpa.data.images.opened import InvalidImageError

COMPRESSIONS = ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")
NAME = "hpa.bounded"
SPARE = 64  # bytes, of a checksum
KEPT = {"bytes", "endian", "transpose", "crc32c"}
"""Codecs that keep the number of bytes."""


def as_version_3(document: dict[str, Any]) -> dict[str, Any]:
    """Translate the metadata of an array of Zarr version 2 to version 3.

    Raises:
        InvalidImageError: it has filters, which OME-Zarr does not use.
    """
    dtype = np.dtype(document["dtype"])
    n_axes, fill = len(document["shape"]), document.get("fill_value")
    for each in document.get("filters") or []:
        raise _unknown(each["id"])
    codecs: list[dict[str, Any]] = [
        {"name": "bytes", "configuration": {"endian": "big" if dtype.str[0] == ">" else "little"}}
    ]
    if document.get("order") == "F":
        reverse = {"order": list(range(n_axes))[::-1]}
        codecs.insert(0, {"name": "transpose", "configuration": reverse})
    if compressor := document.get("compressor"):
        codecs.append({"name": compressor["id"], "configuration": {}})
    separator = {"separator": document.get("dimension_separator") or "."}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": document["shape"],
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": document["chunks"]},
        },
        "chunk_key_encoding": {"name": "v2", "configuration": separator},
        "fill_value": int(fill or 0) if dtype.kind in "ui" else fill or 0.0,
        "codecs": codecs,
    }


def bounded(codecs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the codecs of an array with their decompression bounded.

    Raises:
        InvalidImageError: one is not supported.
    """
    return [_bounded(each) for each in codecs]


def _bounded(codec: dict[str, Any]) -> dict[str, Any]:
    name = codec["name"].removeprefix("numcodecs.")
    if name in KEPT:
        return codec
    if name == "sharding_indexed":
        inner = bounded(codec["configuration"]["codecs"])
        return {**codec, "configuration": {**codec["configuration"], "codecs": inner}}
    if name not in COMPRESSIONS:
        raise _unknown(codec["name"])
    return {"name": NAME, "configuration": {"name": name}}


def _unknown(name: object) -> InvalidImageError:
    return InvalidImageError(
        f"OME-Zarr compressed by {str(name)[:40]!r}, which is not supported: save it again with "
        "zstd, blosc, gzip or without compression"
    )


def decompress(name: str, content: Any, n_bytes: int) -> bytes:
    """Decompress a chunk, to `n_bytes` at most."""
    options = {"header": True} if name == "lz4" else {}  # numcodecs puts the size before
    decoded: bytes = getattr(imagecodecs, f"{name}_decode")(content, out=n_bytes, **options)
    return decoded


class BoundedBytesCodec(BytesBytesCodec):
    """Decompression to at most the bytes of a chunk."""

    is_fixed_size = False

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "BoundedBytesCodec":
        """Build the codec from the metadata of an array."""
        return cls(**data["configuration"])

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata."""
        return {"name": NAME, "configuration": {"name": self.name}}

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        n_bytes = math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize + SPARE
        content = chunk_bytes.as_array_like()
        decoded = await asyncio.to_thread(decompress, self.name, content, n_bytes)
        return chunk_spec.prototype.buffer.from_bytes(decoded)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Refuse: nothing is encoded."""
        raise NotImplementedError


register_codec(NAME, BoundedBytesCodec)
