"""Parameters that a stage inherits: those that made its inputs, whatever params.yaml says now."""

from collections.abc import Mapping
from typing import Any

from hpa.config.params import KEYS, Params, changed_params
from hpa.errors import UserError

DATA_SECTIONS = ("fetch", "pack", "split")


def inherited_params(params: Params, made_with: Mapping[str, Any]) -> Params:
    """Return the parameters in force for a stage: its own, and those that made its inputs.

    An earlier stage may have run with overrides, which belong to the run from then on. The data
    is made by params.yaml alone, so other values there are a mistake.

    Args:
        params: params.yaml with the overrides of this stage.
        made_with: recorded parameters by dotted key; unknown ones, of another version, are ignored.

    Raises:
        UserError: a key of fetch, pack or split contradicts the data.
    """
    require_same_data(params, made_with)
    return changed_params(params, {key: made_with[key] for key in KEYS if key in made_with})


def require_same_data(
    params: Params, made_with: Mapping[str, Any], *, maker: str = "the data"
) -> None:
    """Refuse parameters of fetch, pack or split that contradict those that made the data.

    Args:
        params: the parameters in force.
        made_with: those that made the data, or will make it, by dotted key.
        maker: where these were found, for the message.

    Raises:
        UserError: the values of a key differ.
    """
    flat = params.flat()
    differing = [
        f"{key}: {flat[key]!r} in the parameters, {made_with[key]!r} in {maker}"
        for key in flat
        if key.partition(".")[0] in DATA_SECTIONS
        and key in made_with
        and flat[key] != made_with[key]
    ]
    if differing:
        raise UserError(
            "the parameters contradict the data",
            expected="the values of fetch, pack and split with which the data was made",
            received="\n    ".join(["", *differing]),
            remedy="for other data, set them in params.yaml (from a file: python "
            "src/apply_params.py FILE) and run dvc repro; for this data, drop the file or the edit",
        )
