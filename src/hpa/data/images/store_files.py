"""Files of a Zarr store, in a folder or a zip file, as untrusted input: what is read is bounded.

Nothing outside the folder is read, no link is followed out of it, and no file is read that is
larger than what it may hold.
"""

import io
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest

from hpa.data.images.opened import InvalidImageError

MAX_ZIP_ENTRIES = 200_000
ROOT_DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


class Folder:
    """Files below a folder, by their keys `a/b/c`."""

    def __init__(self, path: Path) -> None:
        self._root = os.path.realpath(path)
        self._inside: dict[str, bool] = {}

    def read(self, key: str, max_bytes: int, part: ByteRequest | None = None) -> bytes | None:
        """Read a file or a part of it; None if it is absent.

        Raises:
            InvalidImageError: it is larger than `max_bytes`, not a regular file, or elsewhere.
        """
        parent = f"{self._root}/{key}".rpartition("/")[0]
        if parent not in self._inside:
            self._inside[parent] = os.path.realpath(parent) == parent
        try:
            if not self._inside[parent]:
                raise OSError
            file = os.open(f"{self._root}/{key}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InvalidImageError(f"its part {key} is a link, or cannot be read") from error
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
                raise _too_large(key, status.st_size, max_bytes)
            start, stop = _span(part, status.st_size)
            return os.pread(file, stop - start, start)
        finally:
            os.close(file)

    def has_pixels(self, array: str) -> bool:
        """Return whether the folder of an array has a file beside its metadata."""
        files = (name for _, _, names in os.walk(f"{self._root}/{array}") for name in names)
        return any(name not in ROOT_DOCUMENTS for name in files)

    def close(self) -> None:
        """Do nothing: no file stays open."""


class Zip:
    """Files in a zip file, by their keys; its one top folder is left out of them."""

    def __init__(self, source: Path | bytes) -> None:
        file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        try:
            _count_entries(file)
            self._zip = zipfile.ZipFile(file)
            self._prefix = _top_folder(self._zip.namelist())
        except Exception as error:
            file.close()
            if isinstance(error, InvalidImageError):
                raise
            raise InvalidImageError(f"a zip file, cut or damaged: {error}") from error
        self._file, self._last = file, ("", b"")

    def read(self, key: str, max_bytes: int, part: ByteRequest | None = None) -> bytes | None:
        """Decompress a file, or a part of it; None if it is absent.

        Raises:
            InvalidImageError: it is larger than `max_bytes`, damaged or compressed in another way.
        """
        if self._last[0] != key:
            try:
                entry = self._zip.getinfo(self._prefix + key)
            except KeyError:
                return None
            if entry.file_size > max_bytes:
                raise _too_large(key, entry.file_size, max_bytes)
            try:
                with self._zip.open(entry) as file:
                    self._last = key, file.read(max_bytes)
            except Exception as error:  # zipfile raises many types for damaged entries
                raise InvalidImageError(f"its part {key} is cut or damaged: {error}") from error
        content = self._last[1]
        return content[slice(*_span(part, len(content)))]

    def has_pixels(self, array: str) -> bool:
        """Return whether the folder of an array has a file beside its metadata."""
        names = [name for name in self._zip.namelist() if name.startswith(self._prefix + array)]
        return any(name.rpartition("/")[2] not in (*ROOT_DOCUMENTS, "") for name in names)

    def close(self) -> None:
        """Close the zip file."""
        self._zip.close()
        self._file.close()


def _span(part: ByteRequest | None, n_bytes: int) -> tuple[int, int]:
    """Return start and stop of the requested part of a file of `n_bytes`."""
    if part is None:
        return 0, n_bytes
    if isinstance(part, RangeByteRequest):
        return min(part.start, n_bytes), min(max(part.start, part.end), n_bytes)
    if isinstance(part, SuffixByteRequest):
        return max(0, n_bytes - part.suffix), n_bytes
    return min(part.offset, n_bytes), n_bytes


def _too_large(key: str, n_bytes: int, max_bytes: int) -> InvalidImageError:
    return InvalidImageError(
        f"its part {key} has {n_bytes:,} bytes (at most {max_bytes:,}), or is not a file"
    )


def _count_entries(file: Any) -> None:
    """Refuse a zip file of too many entries before they are listed, which takes memory."""
    n_bytes = file.seek(0, io.SEEK_END)
    file.seek(max(0, n_bytes - 65_557))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    n_listed = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    if n_listed == 0xFFFFFFFF and end >= 20:  # zip64: the record before has the true number
        start = int.from_bytes(tail[end - 12 : end - 4], "little")
        file.seek(min(start, n_bytes))
        n_listed = int.from_bytes(file.read(56)[40:48], "little")
    if n_listed > 46 * MAX_ZIP_ENTRIES * 4:
        raise InvalidImageError(f"a zip file of more than {MAX_ZIP_ENTRIES:,} entries")


def _top_folder(names: list[str]) -> str:
    """Return the prefix of the store's files: "" or the one top folder that holds a store."""
    found = {
        name.removesuffix(document)
        for name in names
        for document in ROOT_DOCUMENTS
        if name.rpartition("/")[2] == document and name.count("/") <= 1
    } - {"__MACOSX/"}
    if "" in found:
        return ""
    if len(found) != 1:
        raise InvalidImageError(
            f"a zip file of {len(found)} OME-Zarr folders" if found else "a zip file, not OME-Zarr"
        )
    return found.pop()
