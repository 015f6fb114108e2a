"""Atomic files, their digests, free disk space, and the repository's folder."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hpa.errors import UserError
from hpa.system.processes import is_alive

SOURCE_DIR = Path(__file__).parents[2]


def repository_root() -> Path:
    """Return the repository's top folder, even if DVC runs a stage in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT") or SOURCE_DIR.parent)


def untracked_advice(path: Path) -> str:
    """Return how to bring an untracked path into the temporary copy in which DVC runs this stage.

    `dvc exp run --temp` and `--queue` make one of what Git and DVC track. Empty elsewhere.
    """
    copies = repository_root().resolve() / ".dvc" / "tmp"
    if path.is_absolute() or not Path.cwd().is_relative_to(copies):
        return ""
    return (
        f"; DVC runs this in a temporary copy of what Git and DVC track: dvc add {path} && git add "
        f"{path}.dvc in the repository, or start it with --copy-paths {path}, or name an absolute "
        "path"
    )


@contextmanager
def atomic_path(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path, of the same suffix, that replaces `path` when the block succeeds.

    It may become a file or a folder. After an error it is removed and `path` is unchanged; the
    leftovers of a killed process are removed by the next one that writes `path`. `flush` the bytes
    to the disk first, unless a digest is checked on reading.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        yield temporary
        if flush and temporary.is_dir():
            os.sync()  # once; fsync for each of 8,000 images takes half a minute
        elif flush:
            fsync(temporary)
        _replace(temporary, path)
    except OSError as error:
        if advice := disk_advice(error, path):
            raise advice from error
        raise
    finally:
        _remove(temporary)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files replace those of `folder` when the block succeeds.

    It lies within `folder`, so that both are on one disk, and may be written. Other files stay.
    After an error, or if the process is killed, the files are unchanged; leftovers are removed as
    by `atomic_path`.
    """
    temporary = folder / f".partial-{os.getpid()}-files"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(folder / "files")
        temporary.mkdir()
        yield temporary
        for path in sorted(temporary.iterdir()):
            fsync(path)
            path.replace(folder / path.name)
    except OSError as error:
        if advice := disk_advice(error, folder):
            raise advice from error
        raise
    finally:
        _remove(temporary)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically; NaN raises ValueError."""
    with atomic_path(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage wrote.

    Raises:
        UserError: the file is missing, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read",
            expected="the JSON that an earlier stage writes",
            received=str(error),
            remedy="run the stages in their order: dvc repro",
        ) from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: Any) -> str:
    """Return the SHA-256 of values for JSON as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def code_sha256(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of files and of all below folders, such as CSV tables and templates.

    Names and bytes count, in sorted order; what Python caches does not.
    """
    below = {file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])}
    files = {file for file in below if not file.is_dir() and "__pycache__" not in file.parts}
    code = hashlib.sha256()
    for file in sorted(files):
        code.update(f"{file.relative_to(SOURCE_DIR)}\0{sha256(file)}\n".encode())
    return code.hexdigest()


def require_free_space(folder: Path, n_bytes: int, purpose: str) -> None:
    """Check that a folder can be written and that its disk has room, before a long computation.

    Raises:
        UserError: fewer than `n_bytes` are free, or the folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if advice := disk_advice(error, folder):
            raise advice from error
        raise
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise UserError(
            f"not enough free disk for {purpose} in {folder}",
            expected=f"{n_bytes / 1e6:,.0f} MB free",
            received=f"{free / 1e6:,.0f} MB free",
            remedy="free some space, or put the repository on a larger disk; nothing was written",
        )


def disk_advice(error: OSError, path: Path) -> UserError | None:
    """Return a UserError for a full disk or a missing permission; None for other errors."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(
            f"the disk is full: {path} could not be written",
            expected="enough free space",
            received=f"{os.strerror(error.errno)} (errno {error.errno})",
            remedy="free some space and run the same command again; an older file is unchanged",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(
            f"{path} could not be written",
            expected="a folder that this user may write to",
            received=f"{os.strerror(error.errno)} (errno {error.errno})",
            remedy=f"give write access to {path.parent}, or choose another output folder",
        )
    return None


def fsync(path: Path) -> None:
    """Flush a file's bytes, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(temporary: Path, path: Path) -> None:
    """Rename `temporary` to `path`; an older folder is moved aside first."""
    if not path.is_dir():
        temporary.replace(path)
        return
    if not temporary.is_dir():
        raise UserError(
            f"{path} is a folder",
            expected="the name of a file to write",
            received="a folder, which was not changed",
            remedy=f"name a file in it: {path / 'NAME'}",
        )
    old = path.with_name(f".old-{os.getpid()}-{path.name}")
    path.replace(old)
    try:
        temporary.replace(path)
    except OSError:
        old.replace(path)
        raise
    _remove(old)


def _clear_leftovers(path: Path) -> None:
    """Remove the leftovers of killed processes beside `path`; restore a folder moved aside."""
    pattern = re.compile(rf"\.(partial|old)-(\d+)-{re.escape(path.name)}")
    for leftover in list(path.parent.iterdir()):
        match = pattern.fullmatch(leftover.name)
        if match is None:
            continue
        pid = int(match[2])
        if pid != os.getpid() and is_alive(pid):  # this process never leaves a file behind
            continue
        if match[1] == "old" and not path.exists():
            leftover.replace(path)
        _remove(leftover)


def _remove(path: Path) -> None:
    """Remove a file, link or folder; ignore failures, which would hide the first error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
