"""Types of the values in params.yaml, as pydantic checks them.

Types are strict: true is not a number and 1 is not a text. A `description` replaces the words that
an error would derive from the type.
"""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from hpa.vocabulary.labels import label_values

HOST = r"([\w.-]+|\[[0-9a-fA-F:]+\])"


def _number_from_text(value: Any) -> Any:
    """Read a text such as `1e-3`, which YAML 1.1 takes for a string, as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _whole(value: Any) -> Any:
    """Refuse true and 1.0, which Python calls equal to 1."""
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value


def _values(low: float, high: float, step: float) -> AfterValidator:
    """Accept a text of entries `LABEL x NUMBER`, each label at most once, numbers in a range."""

    def check(text: str) -> str:
        values = label_values(text).values()
        if not values or not all(
            low <= value <= high and math.isclose(value / step, round(value / step))
            for value in values
        ):
            raise ValueError("malformed")
        return text

    return AfterValidator(check)


def _pattern(text: str) -> str:
    """Accept a regular expression with the groups that name an image."""
    try:
        groups = set(re.compile(text).groupindex)
    except re.error as error:
        raise ValueError("malformed") from error
    if not groups & {"name", "well"} or not groups <= {"name", "well", "field", "channel"}:
        raise ValueError("malformed")
    return text


def _places(text: str) -> str:
    """Accept a text of entries `CHANNEL=PLACE`, each channel once."""
    pairs = [[word.strip() for word in each.split("=", 1)] for each in text.split(";")]
    if not all(len(each) == 2 and all(each) for each in pairs):
        raise ValueError("malformed")
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("malformed")
    return text


def _percentiles(text: str) -> str:
    """Accept two percentiles, the lower one first."""
    low, high = map(float, text.split())
    if not 0 <= low < high <= 100:
        raise ValueError("malformed")
    return text


FROM_TEXT = BeforeValidator(_number_from_text)
WHOLE = BeforeValidator(_whole)

Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Count = Annotated[Whole, Field(ge=1)]
Seed = Annotated[Whole, Field(ge=0, le=2**32 - 1)]
Number = Annotated[float, Field(strict=True), FROM_TEXT]
Fraction = Annotated[Number, Field(ge=0, le=1)]

Address = Annotated[
    Text,
    Field(pattern="^https?://", description="an address that begins with http:// or https://"),
]
Slug = Annotated[
    Text,
    Field(pattern="^[a-z0-9-]+$", description="lower-case letters, digits and hyphens"),
]
Hosts = Annotated[
    Text,
    Field(
        pattern=f"^{HOST}( {HOST})*$",
        description="names or addresses separated by spaces, without ports",
    ),
]
DepthFactors = Annotated[
    Text,
    Field(
        pattern=r"^((0(\.\d+)?|1(\.0+)?)( +|$)){3}$",
        description="three factors from 0 to 1 separated by spaces, such as '0.1 0.33 1'",
    ),
]
LabelRepeats = Annotated[
    Text,
    _values(1, 999, 1),
    Field(
        description="LABEL x TIMES, by number or name, separated by spaces or semicolons, such as "
        "'27x8 15x4' or 'Golgi apparatus x4' (each label at most once, times from 1 to 999)"
    ),
]
LabelAlphas = Annotated[
    Text,
    _values(0.001, 0.999, 0.001),
    Field(
        description="LABEL x ALPHA, by number or name, separated by spaces or semicolons, such as "
        "'27x0.9 15x0.75' or 'Golgi apparatus x0.9' (each label at most once, alphas from 0.001 to "
        "0.999)"
    ),
]
ChannelList = Annotated[
    list[dict[str, str]],
    Field(
        strict=True,
        description="a list such as [{name: dapi, role: nucleus, color: blue}, {name: gfp, "
        "role: protein, color: green}]",
    ),
]
FilePattern = Annotated[
    Text,
    AfterValidator(_pattern),
    Field(
        description="a regular expression for the names of files, with the group name or well, and "
        r"optionally field and channel, such as '(?P<name>.+)_w(?P<channel>\\d)'"
    ),
]
FoundAs = Annotated[
    Text,
    AfterValidator(_places),
    Field(
        description="CHANNEL=PLACE separated by semicolons, such as 'red=3; green=GFP': the place "
        "is the name of a channel in the files or in their names, or its number from 1"
    ),
]
SliceRule = Annotated[
    Literal["refuse", "max"] | Annotated[Whole, Field(ge=1)],
    Field(description="refuse, max, or the number of a slice from 1"),
]
DepthName = Annotated[
    Literal["camera", "percentile", "set_percentile", "bits", "refuse"]
    | Annotated[Whole, Field(ge=1, le=2**32 - 1)],
    Field(
        description="camera, percentile, set_percentile, bits, refuse, or the value that becomes "
        "white, such as 4095"
    ),
]
Percentiles = Annotated[
    Text,
    AfterValidator(_percentiles),
    Field(description="two percentiles from 0 to 100, such as '0 99.99'"),
]
PixelSize = Annotated[Number, Field(ge=0.001, le=1000)]
SourceList = Annotated[
    list[dict[str, Any]],
    Field(
        strict=True,
        min_length=1,
        description="a list such as [{name: plate7, source: local, path: own/plate7}, {name: "
        "atlas, source: hpa, path: own/hpav18.csv}]",
    ),
]
