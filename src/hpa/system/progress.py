"""Progress of long work: a bar on a terminal, occasional lines in a log."""

import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

PERIOD_S = 15  # between two lines of a log
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}, {remaining} left"


def on_terminal() -> bool:
    """Tell whether a person watches: standard output and standard error are a terminal."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def progress(
    items: Iterable[Any] | None = None, *, what: str, unit: str = "image", **options: Any
) -> "tqdm[Any]":
    """Show the progress of a loop, with the options of tqdm.

    A log gets whole lines, the first one after 15 seconds.
    """
    options = {"desc": what, "unit": f" {unit}s", **options}
    if on_terminal():
        return tqdm(items, mininterval=0.2, dynamic_ncols=True, **options)
    return _Lines(items, mininterval=PERIOD_S, delay=PERIOD_S, bar_format=LINE, **options)


class _Lines(tqdm):  # type: ignore[type-arg]
    """Progress in lines, none of which is drawn again."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print the state as a line; not sooner because another line was printed."""
        if time.time() - self.last_print_t >= PERIOD_S:
            self.last_print_t = time.time()
            print(self, file=sys.stderr, flush=True)

    def clear(self, nolock: bool = False) -> None:
        """Leave the lines before."""

    def close(self) -> None:
        """End without a last line: who runs the loop says what came of it."""
        self.disable = True
