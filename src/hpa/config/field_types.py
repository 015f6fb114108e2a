"""Types of the values in params.yaml, as pydantic checks them.

Types are strict: true is not a number and 1 is not a text. A `description` replaces the words that
an error would derive from the type.
"""

import math
from typing import Annotated, Any

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
