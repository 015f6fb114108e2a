"""Self-contained HTML pages from the Jinja2 templates beside this file."""

import base64
import io
import math
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_eval_context
from jinja2.nodes import EvalContext
from matplotlib.figure import Figure

from hpa.errors import first_names
from hpa.reports import style

TEMPLATES_DIR = Path(__file__).parent / "templates"
METADATA = {"png": ("Software",), "svg": ("Date", "Creator", "Format", "Type")}
SPARE_DIGITS = re.compile(r"(?<= )(-?\d+\.\d\d)\d+")  # coordinates to a hundredth of a point
UNQUOTED = " /:;=,()+-_.!*@$?"
MARKDOWN_SYNTAX = re.compile(r"[\\`*\[\]<>|]|(?<!\w)_|_(?!\w)")


def render(template: str, **values: Any) -> str:
    """Fill a template; values are text, escaped for HTML or, in a `.md` template, for Markdown."""
    return _environment().get_template(template).render(values)


def figure_uri(figure: Figure, *, kind: str = "png") -> str:
    """Return a figure as a data URI; kind is "png" or "svg"."""
    content = io.BytesIO()
    with style.house_style():
        figure.savefig(content, format=kind, metadata=dict.fromkeys(METADATA[kind]))
    if kind == "svg":
        text = SPARE_DIGITS.sub(r"\1", " ".join(content.getvalue().decode().split()))
        return f"data:image/svg+xml,{quote(text, safe=UNQUOTED)}"  # three quarters of base64
    return image_uri(content.getvalue(), kind=kind)


def image_uri(content: bytes, *, kind: str) -> str:
    """Return the bytes of an image as a data URI; kind is a subtype such as "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def number(value: float, spec: str) -> str:
    """Format a number; NaN is an empty text."""
    return "" if math.isnan(value) else format(value, spec)


def counted(n: int, noun: str) -> str:
    """Format a number of things.

    >>> counted(1, "class"), counted(1234, "class"), counted(2, "image")
    ('1 class', '1,234 classes', '2 images')
    """
    plural = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{plural}"


def records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return one dict per row."""
    return table.to_dict("records")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=lambda name: name is None or not name.endswith(".md"),
        undefined=StrictUndefined,
        finalize=_escape_markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "records": records, "first_names": first_names}
    environment.globals["counted"] = counted
    environment.globals["style"] = style
    return environment


@pass_eval_context
def _escape_markdown(context: EvalContext, value: Any) -> Any:
    """Keep a value from being read as Markdown; leave it to autoescape in HTML."""
    if context.autoescape:
        return value
    return MARKDOWN_SYNTAX.sub(r"\\\g<0>", " ".join(str(value).splitlines()))
