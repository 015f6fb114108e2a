"""Read-only Zarr store of untrusted files. Nothing is fetched from the network."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.store_files import Folder, Zip

MAX_DOCUMENT_BYTES = 16_000_000
"""Bytes of a JSON document of metadata, at most."""


class CheckedStore(Store):
    """Read-only Zarr store of files, with documents that replace theirs.

    Attributes:
        max_bytes: of a chunk's file; larger ones are refused.
        missing: keys of chunks that were asked for and are absent.
    """

    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, files: Folder | Zip, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> None:
        super().__init__(read_only=True)
        self.files, self.max_bytes = files, max_bytes
        self.missing: list[str] = []
        self.documents: dict[str, bytes] = {}

    def read_json(self, key: str) -> dict[str, Any] | None:
        """Read a JSON object; None if the file is absent.

        Raises:
            InvalidImageError: it is too large, damaged, or not an object.
        """
        content = self.files.read(key, MAX_DOCUMENT_BYTES) if is_key(key) else None
        if content is None:
            return None
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InvalidImageError(f"its metadata {key} are cut or damaged") from error
        if not isinstance(found, dict):
            raise InvalidImageError(f"its metadata {key} are cut or damaged")
        return found

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a document or a chunk's file, or a part of it."""
        if key in self.documents:
            return prototype.buffer.from_bytes(self.documents[key])
        content = self.files.read(key, self.max_bytes, byte_range) if is_key(key) else None
        if content is None:
            self.missing.append(key)
            return None
        return prototype.buffer.from_bytes(content)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Read parts of files."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Refuse: reading an array does not ask."""
        raise NotImplementedError

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Refuse to delete."""
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        """Refuse to list."""
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse to list."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse to list."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = Store.__hash__


def is_key(text: object) -> bool:
    """Return whether a text names a file below the folder."""
    return (
        isinstance(text, str)
        and len(text) < 1000
        and not any(char in text for char in "\\:\0")
        and all(part not in {"", ".", ".."} for part in text.split("/"))
    )
