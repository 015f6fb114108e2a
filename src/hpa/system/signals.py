"""Stopping on demand: SIGTERM and Ctrl-C wait until what is under way is in order."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def postponed_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl-C in a list, for the block to look at; a second one acts at once.

    Outside the main thread, where Python allows no handlers, nothing is collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def collect(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        name = signal.Signals(number).name
        print(f"\n{name}: ending after this step; once more ends at once", file=sys.stderr)
        _install(before)

    for number in SIGNALS:
        signal.signal(number, collect)
    try:
        yield received
    finally:
        _install(before)


def _install(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
