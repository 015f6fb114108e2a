"""Overlays: YAML files with some of the parameters, merged into params.yaml."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hpa.config.params import Params, params_from_document, read_document
from hpa.errors import UserError


def merged_params(params_path: Path, overlay_path: Path) -> tuple[str, Params]:
    """Return the new text of the parameters file, and its validated parameters.

    Raises:
        UserError: a file cannot be read, or the merged parameters are not valid.
    """
    document, overlay = _read_with_comments(params_path), _read_with_comments(overlay_path)
    _merge(document, overlay)
    stream = StringIO()
    _round_trip().dump(document, stream)
    source = f"{params_path} with {overlay_path}"
    return stream.getvalue(), params_from_document(yaml.safe_load(stream.getvalue()), source)


def _read_with_comments(path: Path) -> Any:
    """Read a YAML mapping that keeps its comments, quotes and order.

    Raises:
        UserError: the file is missing, not YAML, repeats a key or is not a mapping.
    """
    read_document(path)  # refuses a missing or malformed file
    document: object
    try:
        document = _round_trip().load(path.read_text(encoding="utf-8-sig"))
    except YAMLError as error:
        document = error
    if isinstance(document, Mapping):
        return document
    raise UserError(
        f"{path} does not hold parameters",
        expected="sections of `key: value` lines, each key once",
        received=str(document),
        remedy="see params/hpa2018.yaml for an example",
    )


def _round_trip() -> YAML:
    """Create a reader and writer that changes nothing but the values set."""
    made = YAML()
    made.preserve_quotes = True
    made.width = 4096  # no line breaks
    made.representer.add_representer(
        type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return made


def _merge(document: Any, overlay: Mapping[str, Any]) -> None:
    """Set the values of the overlay in the document, section by section."""
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), Mapping):
            _merge(document[key], value)
        else:
            document[key] = value


def differences(before: Params, after: Params) -> Iterator[str]:
    """Yield one line per changed value, such as `loss.gamma: 2.0 -> 1.0`."""
    old, new = dict(leaves(asdict(before))), dict(leaves(asdict(after)))
    for key, value in new.items():
        if key not in old or old[key] != value:
            yield f"{key}: {json.dumps(old.get(key))} -> {json.dumps(value)}"


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values of nested sections."""
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, inner in value.items():
        yield from leaves(inner, f"{key}.{name}" if key else str(name))
