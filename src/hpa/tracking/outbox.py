"""Outbox: calls to a store that may be away, made at once or kept on disk and made later."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

REFUSED = "refused"
PATIENCE = 50
"""After a failed attempt of t seconds, wait this many times t: retries take 2 % of the time."""

Call = dict[str, Any]
"""Values for JSON; `paths` names files or folders, whose copies are kept with the call."""


class StoreUnavailableError(Exception):
    """The store cannot be reached, or cannot write now; the same call may succeed later."""


class RunRefusedError(StoreUnavailableError):
    """The store takes no run of this outbox until somebody follows the message."""


class CallRefusedError(Exception):
    """The store refuses one call for good, and takes those after it."""


class Outbox:
    """Calls of one process to the store; a failure of the store never raises.

    A call is made at once. If that fails, it and all later ones are kept in `folder`, in their
    order, and retried from time to time and when the outbox closes. `deliver` makes the calls that
    are still left once the process, and with it the lock on the folder, is gone.

    The first call begins what the others belong to, so it is kept with them, even if it was made.
    A call that is refused for good is put aside in `refused` beside the folder.

    Args:
        folder: used by this outbox alone; exists only while it holds calls.
        make: makes a call, or raises StoreUnavailableError; may be given the same call twice.
        wait_s: seconds before the first attempt, if the store was just found away.
    """

    def __init__(self, folder: Path, make: Callable[[Call], None], *, wait_s: float = 0.0) -> None:
        self._folder, self._make = folder, make
        self._lock = threading.RLock()  # system metrics come from another thread
        self._file_lock: FileLock | None = None
        self._n_kept = self._n_made = 0
        self._first: Call | None = None
        self._first_made = False
        self._retry_at = time.monotonic() + wait_s
        self._reason = "the store was unavailable"

    @property
    def was_used(self) -> bool:
        """Tell whether a call was sent."""
        return self._first is not None

    def send(self, call: Call) -> None:
        """Make a call, or keep it for later."""
        with self._lock:
            if self._first is None:
                self._first = call
            if not self._n_kept and self._is_time() and self._attempt(call):
                self._first_made = True
                return
            try:
                self._keep(call)
            except OSError as error:
                _say(f"tracking: {call['call']} is lost, {self._folder} cannot be written: {error}")
                return
            if self._is_time():
                self._drain()

    def close(self) -> None:
        """Retry the kept calls once more; what fails is left for the next process."""
        with self._lock:
            if self._n_kept:
                self._drain()
            if self._n_kept:
                _say(
                    f"tracking: {self._n_kept} calls wait in {self._folder} ({self._reason}); the "
                    "next stage that finds the store sends them, or: python src/sync_runs.py"
                )
            self._release()

    def _is_time(self) -> bool:
        return time.monotonic() >= self._retry_at

    def _attempt(self, call: Call) -> bool:
        started = time.monotonic()
        try:
            make_or_put_aside(self._make, call, self._folder)
        except StoreUnavailableError as error:
            if not self._n_kept:
                refused = isinstance(error, RunRefusedError)
                state = "takes no run now" if refused else "is unavailable"
                _say(f"tracking: the store {state}, calls wait on disk: {error}")
            self._reason = str(error)
            now = time.monotonic()
            self._retry_at = now + PATIENCE * (now - started)
            return False
        return True

    def _keep(self, call: Call) -> None:
        if self._file_lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file_lock = FileLock(_lock_path(self._folder), thread_local=False)
            self._file_lock.acquire(timeout=0)
        if self._first is not None and call is not self._first and not self._n_kept:
            keep_call(self._folder, self._first, self._n_kept)
            self._n_kept, self._n_made = 1, int(self._first_made)
        keep_call(self._folder, call, self._n_kept)
        self._n_kept += 1

    def _drain(self) -> None:
        for number, call in enumerate(kept_calls(self._folder)):
            if number < self._n_made:
                continue
            if not self._attempt(call):
                return
            self._n_made += 1
        _say(f"tracking: the store is back, sent {self._n_kept} calls")
        self._n_kept = self._n_made = 0
        self._first_made = True
        self._release()
        _remove(self._folder)

    def _release(self) -> None:
        if self._file_lock is not None:
            self._file_lock.release()
            self._file_lock = None


@dataclass(frozen=True)
class Delivery:
    """Result of a delivery: outboxes emptied, and the reason of each one that is left."""

    n_sent: int
    left: dict[Path, str]


def deliver(folder: Path, maker: Callable[[], Callable[[Call], None]]) -> Delivery:
    """Make the calls that ended processes left.

    Args:
        folder: holds one folder per outbox.
        maker: returns, per outbox, the function that makes its calls.

    Raises:
        StoreUnavailableError: the store cannot be reached; the remaining calls are kept.
    """
    done, left = 0, {}
    for outbox in sorted(path.parent for path in folder.glob("*/calls.jsonl")):
        try:
            with FileLock(_lock_path(outbox), timeout=0):
                make = maker()
                for call in kept_calls(outbox):
                    make_or_put_aside(make, call, outbox)
                _remove(outbox)
                done += 1
        except Timeout:
            continue  # its process is alive and sends them itself
        except RunRefusedError as error:
            left[outbox] = str(error)
    return Delivery(done, left)


def make_or_put_aside(make: Callable[[Call], None], call: Call, outbox: Path) -> None:
    """Make a call; if it is refused for good, keep it for the user to look at, and say so."""
    try:
        make(call)
    except CallRefusedError as error:
        aside = outbox.parent / REFUSED / outbox.name
        _say(f"tracking: {call['call']} was refused and lies in {aside}: {error}")
        try:
            aside.mkdir(parents=True, exist_ok=True)
            keep_call(aside, {**call, "refused": str(error)}, len(list(kept_calls(aside))))
        except OSError as full:
            _say(f"tracking: {call['call']} is lost, {aside} cannot be written: {full}")


def refused_calls(folder: Path) -> dict[Path, int]:
    """Count the calls that were put aside, by the folder that they lie in."""
    found = (path.parent for path in (folder / REFUSED).glob("*/calls.jsonl"))
    return {aside: len(list(kept_calls(aside))) for aside in sorted(found)}


def keep_call(folder: Path, call: Call, number: int) -> None:
    """Append a call to those of a folder, with copies of the files that it names."""
    if "paths" in call:
        kept = folder / "files" / str(number)
        kept.mkdir(parents=True, exist_ok=True)
        for path in map(Path, call["paths"]):
            if path.is_dir():
                shutil.copytree(path, kept / path.name, dirs_exist_ok=True)
            else:
                shutil.copy2(path, kept / path.name)
        names = [str((kept / Path(path).name).relative_to(folder)) for path in call["paths"]]
        call = {**call, "paths": names}
    with (folder / "calls.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(call))  # newline first: a line cut short damages no other


def kept_calls(folder: Path) -> Iterator[Call]:
    """Read the calls of an outbox; skip a line that a kill or a full disk cut short."""
    try:
        lines = (folder / "calls.jsonl").read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return  # another process has just sent them
    for line in filter(None, lines):
        try:
            call = json.loads(line)
        except json.JSONDecodeError:
            _say(f"tracking: a call in {folder} was cut short when it was written, and is lost")
            continue
        if "paths" in call:
            call["paths"] = [str(folder / path) for path in call["paths"]]
        yield call


def _lock_path(folder: Path) -> Path:
    """Return a path beside the folder: the lock must outlive the folder."""
    return folder.with_name(f"{folder.name}.lock")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _lock_path(folder).unlink(missing_ok=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
