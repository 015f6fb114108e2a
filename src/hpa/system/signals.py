"""Signal handling: let SIGTERM and Ctrl-C wait for the end of a step."""

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
    """Collect SIGTERM and Ctrl-C in a list that the block checks; a second one acts at once.

    Outside the main thread Python allows no handlers, and nothing is collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def collect(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        name = signal.Signals(number).name
        print(f"\n{name}: ending after this step; repeat to end at once", file=sys.stderr)
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
