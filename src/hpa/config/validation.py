"""From plain YAML values to typed, frozen sections: pure, and every problem in one error.

A section is a frozen dataclass whose annotations say what is allowed:
`gamma: Annotated[float, Between(0, 10)]`, `name: Literal["focal"]`, `path: str | None`.
"""

import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from hpa.errors import UserError

Params = TypeVar("Params")


@dataclass(frozen=True)
class Between:
    """The closed range [low, high] that a number must lie in; `step` must divide it."""

    low: float
    high: float = math.inf
    step: int | None = None

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and (self.step is None or value % self.step == 0)

    def __str__(self) -> str:
        text = f"at least {self.low:g}"
        if math.isfinite(self.high):
            text = f"from {self.low:g} to {self.high:g}"
        return text if self.step is None else f"{text}, a multiple of {self.step}"


def build(kind: type[Params], document: Any, source: str) -> Params:
    """Turn a YAML document of sections into `kind`, a dataclass of section dataclasses.

    Args:
        kind: the outer dataclass; each of its fields is a section.
        document: what a YAML reader returned.
        source: where the document came from, for messages.

    Raises:
        UserError: one error that lists every unknown, missing, mistyped and out-of-range key
            with what was expected, what came, and the nearest valid name.
    """
    sections = get_type_hints(kind)
    flat, problems = _flatten(document, sections)
    hints = field_hints(kind)
    problems += [_unknown(key, hints) for key in flat if key not in hints]
    values: dict[str, Any] = {}
    for key, hint in hints.items():
        if key not in flat:
            problems.append(f"{key}: missing; expected {describe(hint)}")
            continue
        values[key] = _cast(flat[key], hint)
        if not _allowed(values[key], hint):
            problems.append(f"{key}: expected {describe(hint)}, received {flat[key]!r}")
    if problems:
        raise UserError(
            f"{len(problems)} problem(s) in the parameters",
            expected=f"every key of {source} known, present and in range",
            received="\n    ".join(["", *problems]),
            remedy=f"mend the keys above in {source} or on the command line",
        )
    built = {
        name: section(
            **{
                key.partition(".")[2]: value
                for key, value in values.items()
                if key.startswith(f"{name}.")
            }
        )
        for name, section in sections.items()
    }
    return kind(**built)


def field_hints(kind: type) -> dict[str, Any]:
    """List the dotted keys of a dataclass of sections with their annotations."""
    return {
        f"{name}.{field}": hint
        for name, section in get_type_hints(kind).items()
        for field, hint in get_type_hints(section, include_extras=True).items()
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint such as `; did you mean loss.gamma?`, or nothing where no name is near."""
    known = list(known)
    last_words = {key.rpartition(".")[2]: key for key in known}
    found = difflib.get_close_matches(name, known, n=1) or [
        last_words[word]
        for word in difflib.get_close_matches(name.rpartition(".")[2], last_words, n=1)
    ]
    return f"; did you mean {found[0]}?" if found else ""


def describe(hint: Any) -> str:
    """Say in words what an annotation allows."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{describe(arguments[0])} {arguments[1]}"
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(describe(each) for each in arguments)
    if origin is dict:
        return "a section of keys"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint, "null")


def _flatten(document: Any, sections: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    if not isinstance(document, Mapping):
        return {}, [f"expected sections such as {', '.join(sections)}, received {document!r}"]
    problems = [
        f"{name}: unknown section{nearest(str(name), sections)}"
        for name in document
        if name not in sections
    ]
    flat: dict[str, Any] = {}
    for name, section in document.items():
        if isinstance(section, Mapping):
            flat |= {f"{name}.{key}": value for key, value in section.items() if name in sections}
        elif name in sections:
            problems.append(f"{name}: expected a section of keys, received {section!r}")
    return flat, problems


def _unknown(key: str, known: Iterable[str]) -> str:
    return f"{key}: unknown{nearest(key, known)}"


def _cast(value: Any, hint: Any) -> Any:
    """Read `1e-3`, a text to YAML 1.1, as the number it is, and a whole number as a float."""
    allowed = _plain_types(hint)
    if float not in allowed or isinstance(value, bool):
        return value
    try:
        return float(value) if isinstance(value, int | str) else value
    except (ValueError, OverflowError):
        return value


def _plain_types(hint: Any) -> set[Any]:
    if get_origin(hint) is Annotated:
        return _plain_types(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return set().union(*(_plain_types(each) for each in get_args(hint)))
    return {hint}


def _allowed(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _allowed(value, arguments[0]) and value in arguments[1]
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in arguments)
    if origin in (Union, types.UnionType):
        return any(_allowed(value, each) for each in arguments)
    if origin is dict:
        return isinstance(value, dict)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return type(value) is hint
