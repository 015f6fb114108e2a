"""Calls to a store that may be away: made at once, or kept on disk in order and made later."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

PATIENCE = 50
"""After a failed attempt of t seconds, this many times t pass without one: it costs 2 %."""

Call = dict[str, Any]
"""What JSON can spell; `paths` names files or folders, which are kept with the call."""


class StoreAwayError(Exception):
    """The store cannot be reached, or cannot write now; the same call may succeed later."""


class Outbox:
    """The way of one process' calls to the store. Nothing here ever raises because of the store.

    A call is made at once. Where that fails, it and all after it go to `folder`, so that their
    order stays, and are tried again now and then, and when the outbox closes. What is left is for
    `deliver`: a lock, which ends with the process, tells it that nobody else will.

    Args:
        folder: of this outbox alone; exists only while it holds something.
        make: makes a call, or raises StoreAwayError; the same call may reach it twice.
        wait_s: seconds until the first attempt, where the store was just found away.
    """

    def __init__(self, folder: Path, make: Callable[[Call], None], *, wait_s: float = 0.0) -> None:
        self._folder, self._make = folder, make
        self._lock = threading.RLock()  # metrics of the system come from another thread
        self._file_lock: FileLock | None = None
        self._n_kept = self._n_made = 0
        self._retry_at = time.monotonic() + wait_s

    def send(self, call: Call) -> None:
        """Make a call, or keep it."""
        with self._lock:
            if not self._n_kept and self._is_time() and self._attempt(call):
                return
            try:
                self._keep(call)
            except OSError as error:
                _say(f"tracking: {call['call']} is lost, {self._folder} cannot be written: {error}")
                return
            if self._is_time():
                self._drain()

    def close(self) -> None:
        """Try once more whatever is kept; the rest stays for the next start of anything."""
        with self._lock:
            if self._n_kept:
                self._drain()
            if self._n_kept:
                _say(
                    f"tracking: {self._n_kept} calls wait in {self._folder}; the next stage that "
                    "finds the store sends them, or: python src/sync_runs.py"
                )
            self._release()

    def _is_time(self) -> bool:
        return time.monotonic() >= self._retry_at

    def _attempt(self, call: Call) -> bool:
        started = time.monotonic()
        try:
            self._make(call)
        except StoreAwayError as error:
            if not self._n_kept:
                _say(f"tracking: the store is away, so its calls wait on disk: {error}")
            now = time.monotonic()
            self._retry_at = now + PATIENCE * (now - started)
            return False
        return True

    def _keep(self, call: Call) -> None:
        if self._file_lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file_lock = FileLock(_lock_path(self._folder), thread_local=False)
            self._file_lock.acquire(timeout=0)
        if "paths" in call:
            call = {**call, "paths": self._keep_files(call["paths"])}
        with (self._folder / "calls.jsonl").open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(call))  # first, so that a line cut short spoils no other
        self._n_kept += 1

    def _keep_files(self, paths: list[str]) -> list[str]:
        kept = self._folder / "files" / str(self._n_kept)
        kept.mkdir(parents=True, exist_ok=True)
        for path in map(Path, paths):
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, kept / path.name)
        return [str((kept / Path(path).name).relative_to(self._folder)) for path in paths]

    def _drain(self) -> None:
        for number, call in enumerate(kept_calls(self._folder)):
            if number < self._n_made:
                continue
            if not self._attempt(call):
                return
            self._n_made += 1
        _say(f"tracking: the store is back, {self._n_kept} calls sent")
        self._n_kept = self._n_made = 0
        self._release()
        _remove(self._folder)

    def _release(self) -> None:
        if self._file_lock is not None:
            self._file_lock.release()
            self._file_lock = None


def deliver(spool_dir: Path, maker: Callable[[], Callable[[Call], None]]) -> int:
    """Make what ended processes have left below `spool_dir`; return how many outboxes got empty.

    Args:
        spool_dir: holds a folder an outbox.
        maker: gives each outbox a function that makes its calls one after the other.

    Raises:
        StoreAwayError: the store cannot be reached; what is not made yet stays.
    """
    done = 0
    for folder in sorted(path.parent for path in spool_dir.glob("*/calls.jsonl")):
        try:
            with FileLock(_lock_path(folder), timeout=0):
                make = maker()
                for call in kept_calls(folder):
                    make(call)
                _remove(folder)
                done += 1
        except Timeout:
            continue  # its process lives and sends them itself
    return done


def kept_calls(folder: Path) -> Iterator[Call]:
    """Read the calls of an outbox; a line that a kill or a full disk cut short is none."""
    try:
        lines = (folder / "calls.jsonl").read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return  # somebody else has just sent them
    for line in lines:
        try:
            call = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "paths" in call:
            call["paths"] = [str(folder / path) for path in call["paths"]]
        yield call


def _lock_path(folder: Path) -> Path:
    """Lie beside the folder: the lock must outlive its removal."""
    return folder.with_name(f"{folder.name}.lock")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _lock_path(folder).unlink(missing_ok=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
