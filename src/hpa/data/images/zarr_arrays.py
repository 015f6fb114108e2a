"""Opening of a Zarr array, after its metadata are checked."""

import json
import math
import re
from typing import Any

import numpy as np
import zarr

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.zarr_codecs import as_version_3, bounded
from hpa.data.images.zarr_stores import CheckedStore

MAX_CHUNK_BYTES = 512_000_000
"""Bytes of a decoded chunk, at most; as many are decoded at once."""
MAX_SHARD_CHUNKS = 262_144
NUMBERS = r"[<>|]?[uif][1248]|u?int(8|16|32|64)|float(16|32|64)"


def open_array(store: CheckedStore, path: str) -> Any:
    """Open the array of a level, after its metadata are checked.

    Raises:
        InvalidImageError: it is absent, has other values than numbers, or absurd chunks.
    """
    if (document := store.read_json(f"{path}/zarr.json")) is not None:
        dtype, shape, chunks = document["data_type"], document["shape"], _inner_chunks(document)
    elif (document := store.read_json(f"{path}/.zarray")) is not None:
        dtype, shape, chunks = document["dtype"], document["shape"], document["chunks"]
    else:
        raise InvalidImageError(
            f"OME-Zarr without its part {path!r}, the full resolution: copy the folder again, whole"
        )
    if not isinstance(dtype, str) or not re.fullmatch(NUMBERS, dtype):
        raise InvalidImageError(f"OME-Zarr with values of type {str(dtype)[:40]}, not numbers")
    _check_numbers(shape)
    _check_numbers(chunks)
    n_bytes = math.prod(chunks) * np.dtype(dtype).itemsize
    if n_bytes > MAX_CHUNK_BYTES:
        raise InvalidImageError(
            f"OME-Zarr in chunks of {n_bytes / 1e6:,.0f} MB (at most {MAX_CHUNK_BYTES / 1e6:.0f} "
            "MB): save it again in chunks of one plane"
        )
    if "data_type" not in document:
        document = as_version_3(document)
    document = {**document, "attributes": {}, "codecs": bounded(document["codecs"])}
    store.documents = {f"{path}/zarr.json": json.dumps(document).encode()}
    return zarr.open_array(store=store, path=path, mode="r", zarr_format=3)


def _inner_chunks(document: dict[str, Any]) -> list[int]:
    """Return the shape of the chunks that are decoded: of version 3, those inside of shards.

    Raises:
        InvalidImageError: a shard has too many.
    """
    chunks = list(document["chunk_grid"]["configuration"]["chunk_shape"])
    for codec in document["codecs"]:
        if codec["name"] == "sharding_indexed":
            inner = list(codec["configuration"]["chunk_shape"])
            _check_numbers([*chunks, *inner])
            if math.prod(chunks) > MAX_SHARD_CHUNKS * math.prod(inner):
                raise InvalidImageError("OME-Zarr in shards of too many chunks")
            return inner
    return chunks


def _check_numbers(numbers: Any) -> None:
    """Refuse what is not the shape of an image."""
    if not (
        isinstance(numbers, list)
        and 2 <= len(numbers) <= 8
        and all(type(each) is int and each > 0 for each in numbers)
    ):
        raise InvalidImageError(f"OME-Zarr of shape {str(numbers)[:80]}: not an image")
