"""Decompression of Zarr chunks to at most the bytes that a chunk has.

Zarr's own codecs decompress whatever a file holds: a few kilobytes may become all memory.
"""

import asyncio
import math
from typing import Any

import imagecodecs
import numcodecs
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer
from zarr.registry import register_codec

from hpa.data.images.opened import InvalidImageError

COMPRESSIONS = ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")
NAME = "hpa.bounded"
SPARE = 64  # bytes, of a checksum
KEPT = {"bytes", "endian", "transpose", "crc32c"}
"""Codecs of Zarr version 3 that keep the number of bytes."""
SAME_SIZE = {"shuffle", "bitround", "delta"}
"""Filters of Zarr version 2 that do, if `delta` stores the type that it yields."""


def bounded_v2(document: dict[str, Any], n_bytes: int) -> dict[str, Any]:
    """Return the metadata of an array of version 2 with its decompression bounded.

    Raises:
        InvalidImageError: the compression or a filter is not supported.
    """
    filters = document.get("filters") or []
    for each in filters:
        if each["id"] not in SAME_SIZE or each.get("astype", each.get("dtype")) != each.get(
            "dtype"
        ):
            raise _unknown(each["id"])
    if (compressor := document.get("compressor")) is not None:
        if compressor["id"] not in COMPRESSIONS:
            raise _unknown(compressor["id"])
        compressor = {"id": NAME, "name": compressor["id"], "n_bytes": n_bytes + SPARE}
    return {**document, "filters": filters or None, "compressor": compressor}


def bounded_v3(codecs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the codecs of an array of version 3 with their decompression bounded.

    Raises:
        InvalidImageError: one is not supported.
    """
    return [_bounded(each) for each in codecs]


def _bounded(codec: dict[str, Any]) -> dict[str, Any]:
    name = codec["name"].removeprefix("numcodecs.")
    if name in KEPT:
        return codec
    if name == "sharding_indexed":
        inner = bounded_v3(codec["configuration"]["codecs"])
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


class BoundedCodec(Codec):
    """Decompression of version 2."""

    codec_id = NAME

    def __init__(self, name: str, n_bytes: int) -> None:
        self.name, self.n_bytes = name, n_bytes

    def decode(self, buf: Any, out: Any = None) -> bytes:
        """Decompress a chunk."""
        return decompress(self.name, buf, self.n_bytes)

    def encode(self, buf: Any) -> bytes:
        """Refuse to compress."""
        raise NotImplementedError


class BoundedBytesCodec(BytesBytesCodec):
    """Decompression of version 3."""

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


numcodecs.register_codec(BoundedCodec)
register_codec(NAME, BoundedBytesCodec)
