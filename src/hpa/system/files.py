"""Files that are either whole or absent, their digests, and where the repository is."""

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
    """Return the repository's top folder; the real one too where DVC runs in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT") or SOURCE_DIR.parent)


@contextmanager
def atomic_path(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside `path` that takes its place when the block ends well.

    The temporary name ends like `path`, so writers that look at the suffix work; it may become
    a file or a folder. After an error nothing of it is left and the old `path` is untouched;
    what a killed process left is removed by the next one that writes `path`.

    Args:
        path: the file or folder to write.
        flush: force the bytes to the disk first; only what a digest will check can do without.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        yield temporary
        if flush:
            _flush(temporary)
        _replace(temporary, path)
    except OSError as error:
        if advice := disk_advice(error, path):
            raise advice from error
        raise
    finally:
        _remove(temporary)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read and diff, whole or not at all; NaN is refused."""
    with atomic_path(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage wrote.

    Raises:
        UserError: there is no such file, or it is no JSON.
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
    """Return the SHA-256 of anything that JSON can spell, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def code_sha256(paths: Iterable[Path]) -> str:
    """Digest Python files, and all below folders: names and bytes, in the order of the names."""
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))}
    code = hashlib.sha256()
    for file in sorted(files):
        code.update(f"{file.relative_to(SOURCE_DIR)}\0{sha256(file)}\n".encode())
    return code.hexdigest()


def require_free_space(folder: Path, n_bytes: int, purpose: str) -> None:
    """Refuse to start what cannot end: compare the free bytes of a folder's disk with the need.

    Raises:
        UserError: fewer than `n_bytes` are free, or the folder cannot be made or written to.
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
    """Turn the errors of a full disk and of missing leave to write into advice; None for others."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(
            f"the disk is full: {path} could not be written",
            expected="enough free space",
            received=f"{os.strerror(error.errno)} (errno {error.errno})",
            remedy="free some space and run the same command again; an older file is untouched",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(
            f"{path} could not be written",
            expected="a folder that this user may write to",
            received=f"{os.strerror(error.errno)} (errno {error.errno})",
            remedy=f"give write access to {path.parent}, or choose another output folder",
        )
    return None


def _flush(path: Path) -> None:
    """Force a file's bytes, or those of each file of a folder, to the disk."""
    if path.is_dir():
        os.sync()  # once; fsync for each of 8,000 images takes half a minute
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _replace(temporary: Path, path: Path) -> None:
    """Give `temporary` the name `path`; a folder in the way is moved aside first."""
    if not path.is_dir():
        temporary.replace(path)
        return
    if not temporary.is_dir():
        raise UserError(
            f"{path} is a folder",
            expected="the name of a file to write",
            received="a folder, which was left as it is",
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
    """Remove what killed processes left beside `path`; a folder moved aside goes back first."""
    pattern = re.compile(rf"\.(partial|old)-(\d+)-{re.escape(path.name)}")
    for leftover in list(path.parent.iterdir()):
        match = pattern.fullmatch(leftover.name)
        if match is None or _is_writing(int(match[2])):
            continue
        if match[1] == "old" and not path.exists():
            leftover.replace(path)
        _remove(leftover)


def _is_writing(pid: int) -> bool:
    """Tell whether another living process has this id; this one never leaves a file behind."""
    return pid != os.getpid() and is_alive(pid)


def _remove(path: Path) -> None:
    """Remove a file, link or folder; where it cannot be, an error on its way is not hidden."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
