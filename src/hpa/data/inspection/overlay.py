"""Lines of params.yaml that read inspected files, each with its reason."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

WIDTH = 100


@dataclass(frozen=True)
class Setting:
    """A line of params.yaml: dotted key, value, and the reason for it."""

    key: str
    value: Any
    reason: str


def overlay_text(settings: Sequence[Setting], header: str) -> str:
    """Write settings as an overlay for `apply_params.py`.

    Args:
        settings: those of one section together.
        header: lines of the comment at its top.
    """
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    return "\n".join([*lines, *overlay_lines(settings)]) + "\n"


def overlay_lines(settings: Sequence[Setting]) -> Iterator[str]:
    """Yield the lines of YAML; a reason that is too long for its line stands above it.

    >>> print(*overlay_lines([Setting("fetch.z", "max", "stacks of 5 slices")]), sep="|")
    |fetch:|  z: max  # stacks of 5 slices
    """
    sections = dict.fromkeys(setting.key.partition(".")[0] for setting in settings)
    for section in sections:
        yield from ("", f"{section}:")
        for setting in settings:
            name, _, key = setting.key.partition(".")
            if name == section:
                yield from _lines(key, setting)


def _lines(key: str, setting: Setting) -> Iterator[str]:
    reason = " ".join(setting.reason.split())
    items = setting.value if isinstance(setting.value, list) else []
    line = f"  {key}:" if items else f"  {key}: {_scalar(setting.value)}"
    if reason and len(line) + len(reason) + 4 <= WIDTH:
        yield f"{line}  # {reason}"
    else:
        yield from (f"  # {part}" for part in _wrapped(reason))
        yield line
    for item in items:
        yield f"  - {_scalar(item)}"


def _scalar(value: Any) -> str:
    """Write a value on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6
    )
    text = text.removesuffix("...\n").strip()
    return text if "\n" not in text else json.dumps(value, ensure_ascii=True)


def _wrapped(text: str) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < WIDTH - 5:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
