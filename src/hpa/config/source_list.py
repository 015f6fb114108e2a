"""Sources of `fetch.source: several`: section fetch once for each entry of fetch.sources."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hpa.config import validation
from hpa.config.sections import Fetch, Section
from hpa.errors import did_you_mean

NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
SHARED = ("sources", "labels", "channels")
"""Keys that hold for all sources: they make one vocabulary."""
OF_FILES = ("local", "hpa")
"""Sources that read fetch.path."""


RULES = ("depth", "percentiles", "pixel_size_um", "z", "found_as", "pattern")
LOCAL = ("z", "found_as", "pattern")
"""Rules of reading files, and those of source `local` alone."""


@dataclass(frozen=True)
class _Document(Section):
    fetch: Fetch


KEYS = tuple(field.name for field in fields(Fetch) if field.name not in SHARED)


def stated_sources(fetch: Fetch) -> dict[str, Fetch]:
    """Return the parameters of each source by its name, in the order of fetch.sources.

    An entry's own keys replace those of the section.
    """
    return {each["name"]: _section(fetch, each) for each in fetch.sources or ()}


def named_sources(text: str | None) -> list[str]:
    """Return the names that split.train_only holds, separated by spaces or else by semicolons.

    >>> named_sources("atlas plate8"), named_sources("plate 7; plate 8"), named_sources(None)
    (['atlas', 'plate8'], ['plate 7', 'plate 8'], [])
    """
    words = re.split(r"\s*;\s*" if ";" in (text or "") else r"\s+", (text or "").strip())
    return [word for word in words if word]


def shared_rules(fetch: Fetch) -> dict[str, Any]:
    """Return how the sources read files if they agree: prediction reads other files alike.

    `of_sources` has the values, by dotted key, that replace those of the section.
    """
    sections = [each for each in stated_sources(fetch).values() if each.source in OF_FILES]
    rules = {
        key: [getattr(each, key) for each in sections if key not in LOCAL or each.source == "local"]
        for key in RULES
    }
    shared = {
        f"fetch.{key}": values[0]
        for key, values in rules.items()
        if values and all(value == values[0] for value in values)
    }
    own = {key: value for key, value in shared.items() if value != getattr(fetch, key[6:])}
    return {"of_sources": own} if own else {}


def source_problems(fetch: Fetch) -> dict[int, list[str]]:
    """Describe what is wrong with each entry of fetch.sources, by its position."""
    entries = fetch.sources or ()
    names = Counter(str(each.get("name")) for each in entries)
    return {
        number: [
            f"fetch.sources[{number}].{key}: {problem}"
            for key, problem in _problems(each, names).items()
        ]
        for number, each in enumerate(entries)
    }


def _problems(entry: Mapping[str, Any], names: Mapping[str, int]) -> dict[str, str]:
    """Return what is wrong with each key of an entry."""
    found = {}
    name, source = entry.get("name"), entry.get("source")
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        found["name"] = "expected letters, digits, hyphens and underscores" + _received(
            entry, "name"
        )
    elif names[name] > 1:
        found["name"] = f"expected another name for each source, received {name!r} twice"
    if source not in ("synthetic", "kaggle", "hpa", "local"):
        found["source"] = "expected 'synthetic', 'kaggle', 'hpa' or 'local'" + _received(
            entry, "source"
        )
    if source in OF_FILES and "path" not in entry:
        found["path"] = f"missing; expected a path, which source {source!r} reads"
    expected = validation.expectations(_Document)
    for key, value in entry.items():
        if key in ("name", "source"):
            continue
        if key in SHARED:
            found[key] = (
                f"expected in section fetch, as it holds for all sources, received {value!r}"
            )
        elif key not in KEYS:
            found[key] = f"unknown{did_you_mean(key, ['name', *KEYS])}"
        elif not _is_valid(key, value):
            found[key] = f"expected {expected[f'fetch.{key}']}, received {value!r}"
    return found


def _received(entry: Mapping[str, Any], key: str) -> str:
    return f", received {entry[key]!r}" if key in entry else ", received nothing"


def _is_valid(key: str, value: Any) -> bool:
    try:
        validation.convert(_Document, f"fetch.{key}", value)
    except ValueError:
        return False
    return True


def _section(fetch: Fetch, entry: Mapping[str, Any]) -> Fetch:
    own = {
        key: validation.convert(_Document, f"fetch.{key}", value)
        for key, value in entry.items()
        if key != "name"
    }
    return replace(fetch, sources=None, **own)
