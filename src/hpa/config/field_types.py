"""Types of the values in params.yaml, as pydantic checks them.

Types are strict: true is not a number and 1 is not a text. A `description` replaces the words that
an error would derive from the type.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

LABEL = r"(1?\d|2[0-7])"  # 0 to 27
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


def _pairs(number: str) -> AfterValidator:
    """Accept a text of words `LABELxNUMBER`, each label at most once."""

    def check(text: str) -> str:
        words = text.split()
        labels = {word.partition("x")[0] for word in words}
        if len(labels) < max(len(words), 1) or not all(
            re.fullmatch(f"{LABEL}x{number}", word) for word in words
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
    _pairs(r"[1-9]\d{0,2}"),
    Field(
        description="LABELxTIMES separated by spaces, such as '27x8 15x4' (labels from 0 to 27, "
        "each at most once)"
    ),
]
LabelAlphas = Annotated[
    Text,
    _pairs(r"0?\.(?!0+$)\d{1,3}"),
    Field(
        description="LABELxALPHA separated by spaces, such as '27x0.9 15x0.75' (labels from 0 to "
        "27, each at most once, alphas from 0.001 to 0.999)"
    ),
]
