"""Messages about a user's mistake: one shape, suggestions for misspelled names, long lists cut."""

import difflib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any


class UserError(ValueError):
    """A mistake that the user can fix: scripts print it without a traceback and exit with 2."""

    def __init__(self, wrong: str, *, expected: str, received: str, remedy: str) -> None:
        super().__init__(
            f"{wrong}\n  expected:   {expected}\n  received:   {received}\n  what to do: {remedy}"
        )
        self._parts = {"expected": expected, "received": received, "remedy": remedy}
        self._wrong = wrong

    def within(self, place: str) -> "UserError":
        """Return the error with the place of the mistake in front."""
        return UserError(f"{place}: {self._wrong}", **self._parts)

    def __reduce__(self) -> tuple[Any, ...]:
        """Allow pickling: worker processes pickle the errors that they raise."""
        return partial(UserError, self._wrong, **self._parts), ()


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a hint such as `; did you mean loss.gamma?`, or "" if no known name is similar.

    A dotted name is compared as a whole first, then by its last word. `cutoff` is the similarity
    in [0,1] from which a name is suggested.
    """
    names = list(known)
    by_last_word = {each.rpartition(".")[2]: each for each in names}
    found = difflib.get_close_matches(name, names, n=1, cutoff=cutoff) or [
        by_last_word[word]
        for word in difflib.get_close_matches(
            name.rpartition(".")[2], by_last_word, n=1, cutoff=cutoff
        )
    ]
    return f"; did you mean {found[0]}?" if found else ""


def first_names(names: Sequence[str], n: int = 8) -> str:
    """Join names, at most `n` of them.

    >>> first_names(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def first_lines(lines: Sequence[str], n: int = 8) -> list[str]:
    """Return at most `n` lines, and one that counts the others.

    >>> first_lines(["a", "b", "c"], 2)
    ['a', 'b', '… and 1 more']
    """
    more = [f"… and {len(lines) - n} more"] if len(lines) > n else []
    return [*lines[:n], *more]
