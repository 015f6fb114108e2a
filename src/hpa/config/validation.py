"""Validation of plain YAML values by pydantic, with every problem in one readable error."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from hpa.config.secrets import hide_secrets, holds_secret
from hpa.errors import UserError, did_you_mean

T = TypeVar("T")

NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "object": "a section of keys",
    "null": "null",
}
REPLACED = {
    "fetch.sixteen_bit_white": "replaced by fetch.depth, which takes the same number, such as 4095",
    "serve.sixteen_bit_white": "replaced by serve.depth, which takes the same number, such as 4095",
}
"""Keys of earlier versions."""
UNKNOWN = ("unexpected_keyword_argument", "invalid_key")


def build(kind: type[T], document: Any, source: str) -> T:
    """Convert a YAML document called `source` to `kind`, a dataclass of section dataclasses.

    Raises:
        UserError: one error that lists every unknown, missing, mistyped and out-of-range key with
            the value expected, the value received and the nearest valid name; and every password.
    """
    found = []
    try:
        built: T = _adapter(kind).validate_python(document)  # type: ignore[arg-type]
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    # A union reports one error per member: keep one line per key.
    problems = dict.fromkeys(
        hide_secrets(_problem(kind, each["type"], each["loc"], document)) for each in found
    )
    problems |= dict.fromkeys(_passwords(document))
    if not problems:
        return built
    raise UserError(
        f"{len(problems)} problem(s) in the parameters",
        expected=f"every key of {source} known, present and in range",
        received="\n    ".join(["", *problems]),
        remedy=f"correct the keys above in {source} or on the command line",
    )


def convert(kind: type, key: str, value: Any) -> Any:
    """Convert the plain value of one dotted key as `build` does.

    Raises:
        ValueError: the value is not allowed.
        LookupError: there is no such key.
    """
    section, _, name = key.partition(".")
    types = get_type_hints(_sections(kind)[section], include_extras=True)
    return _adapter(types[name]).validate_python(value)


def keys(kind: type) -> tuple[str, ...]:
    """List the dotted keys of a dataclass of sections."""
    return tuple(
        f"{name}.{key.name}" for name, section in _sections(kind).items() for key in fields(section)
    )


@cache
def expectations(kind: Any) -> dict[str, str]:
    """Return in words what each dotted key of a dataclass of sections allows."""
    return {
        f"{name}.{key}": describe(schema)
        for name, section in _sections(kind).items()
        for key, schema in _adapter(section).json_schema()["properties"].items()
    }


def describe(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON schema allows, such as `a whole number from 0 to 8`."""
    if "description" in schema:
        return str(schema["description"])
    if "anyOf" in schema:
        return " or ".join(map(describe, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    if "const" in schema:
        return repr(schema["const"])
    return NAMES[schema["type"]] + _limits(schema)


def _limits(schema: Mapping[str, Any]) -> str:
    # Behind a BeforeValidator, pydantic names the limits `ge` and `le`.
    low = schema.get("minimum", schema.get("ge"))
    high = schema.get("maximum", schema.get("le"))
    if low is None:
        return ""
    limits = f" at least {low:g}" if high is None else f" from {low:g} to {high:g}"
    return f"{limits}, a multiple of {schema['multipleOf']}" if "multipleOf" in schema else limits


def _sections(kind: type) -> dict[str, Any]:
    return {section.name: section.type for section in fields(kind)}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _passwords(document: Any) -> list[str]:
    """Phrase the values that contain a password: Git and every run would reveal it."""
    if not isinstance(document, Mapping):
        return []
    return [
        f"{section}.{key}: expected no password, which Git and every run would reveal, received "
        f"{hide_secrets(str(value))}; see docs/search.md"
        for section, values in document.items()
        if isinstance(values, Mapping)
        for key, value in values.items()
        if holds_secret(str(value))
    ]


def _problem(kind: type, error: str, location: tuple[int | str, ...], document: Any) -> str:
    """Phrase one of pydantic's errors; a location is (), (section,) or (section, key, ...)."""
    key = ".".join(map(str, location[:2]))
    sections = _sections(kind)
    is_key = len(location) > 1
    if key in REPLACED:
        return f"{key}: {REPLACED[key]}"
    if error in UNKNOWN:
        known = keys(kind) if is_key else sections
        return f"{key}: unknown{'' if is_key else ' section'}{did_you_mean(key, known)}"
    expected = expectations(kind)[key] if is_key else "a section of keys"
    if error == "missing":
        return f"{key}: missing; expected {expected}"
    if not location:
        return f"expected sections such as {', '.join(sections)}, received {document!r}"
    received = document[location[0]]
    return f"{key}: expected {expected}, received {received[location[1]] if is_key else received!r}"
