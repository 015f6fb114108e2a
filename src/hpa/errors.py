"""The one shape of every message about a user's mistake."""

from functools import partial
from typing import Any


class UserError(ValueError):
    """A mistake that the user can mend: scripts print it without a traceback and exit with 2."""

    def __init__(self, wrong: str, *, expected: str, received: str, remedy: str) -> None:
        super().__init__(
            f"{wrong}\n  expected:   {expected}\n  received:   {received}\n  what to do: {remedy}"
        )
        self._parts = {"expected": expected, "received": received, "remedy": remedy}
        self._wrong = wrong

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way back from a worker process, which pickles what it raises."""
        return partial(UserError, self._wrong, **self._parts), ()
