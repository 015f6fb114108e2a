"""Signal handling: let a request to stop wait for the end of a step; end with another process."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hpa.config.command_line import is_repeat, leave_terminal
from hpa.system import processes

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
POLL_S = 0.5


@contextmanager
def postponed_signals() -> Iterator[list[int]]:
    """Collect SIGTERM, SIGHUP and Ctrl-C in a list that the block checks; a repeat acts at once.

    What follows within two seconds is the same request. An ignored SIGHUP, as below `nohup`, stays
    ignored. Outside the main thread Python allows no handlers, and nothing is collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: action for number, action in before.items() if action != signal.SIG_IGN}

    def collect(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
        if is_repeat():
            return
        if received:
            _install(before)
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        received.append(number)
        name = signal.Signals(number).name
        print(f"\n{name}: ending after this step; repeat to end at once", file=sys.stderr)

    for number in before:
        signal.signal(number, collect)
    try:
        yield received
    finally:
        _install(before)


def end_with(pid: int) -> None:
    """Send SIGTERM to this process as soon as another one of this machine has ended."""
    other = processes.identity(pid)

    def watch() -> None:
        while not processes.is_gone(other):
            time.sleep(POLL_S)
        print("the process that started this one has ended: stopping", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end_with", daemon=True).start()


def _install(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
