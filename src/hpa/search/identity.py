"""Identity of a study: all that decides the value of a trial besides its own parameters."""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import optuna

from hpa.config.folders import PACKED_DIR, SPLIT_DIR
from hpa.config.params import Params
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.errors import UserError
from hpa.search.space import SECTIONS, Space, flat_space, range_in_words
from hpa.system.files import code_sha256, repository_root, sha256
from hpa.training.code import stage_code
from hpa.training.start import start_of
from hpa.vocabulary.labels import Labels

DATA = [PACKED_DIR / "manifest.json", PACKED_DIR / "index.csv", SPLIT_DIR / "assignment.csv"]
KEYS = ("search.trial_steps", "search.trial_rounds", "search.space", "threshold.seed")
"""Parameters outside the trained sections that decide a value; its thresholds are always those of
the rule `selected`, whatever `threshold.rule`."""
UNIMPORTANT = ("train.checkpoint_every",)
PACKAGES = ("keras", "numpy", "scipy", "scikit-learn")
CODE = ("trial.py", "space.py")
"""Files of this room that decide a value, beside the code of train and threshold."""
WEIGHTS = "model.safetensors"
SPACE = "search.space."
ABSENT = object()
N_DIGITS = 10
OTHERS = {
    "data/": ("data", "bring back the earlier data"),
    "code.": ("code", "check out the earlier code of training, thresholds and trials"),
    "version of ": ("versions", "install the earlier versions"),
    "weights of ": ("pretrained weights", "bring back the earlier weights"),
    "labels": ("data", "bring back the earlier data"),
    "channels": ("data", "bring back the earlier data"),
    "": ("parameters", "set the parameters back"),
}
"""Kind of a difference, and how to go back, by the start of its key."""


def identity(params: Params, space: Space) -> dict[str, Any]:
    """Return what all trials of a study must share for their values to be comparable.

    Raises:
        UserError: the data are missing.
    """
    flat = params.flat()
    keys = [key for key in flat if key.partition(".")[0] in (*SECTIONS, "score") or key in KEYS]
    fixed = {key: flat[key] for key in keys if key not in space and key not in UNIMPORTANT}
    weights = list(getattr(space.get("model.weights"), "choices", [flat["model.weights"]]))
    return fixed | here(flat["train.backend"], weights)


def here(backend: str, weights: list[str]) -> dict[str, Any]:
    """Return vocabulary and digests of data and code, and versions, as they are on this machine.

    Args:
        backend: of Keras.
        weights: values of `model.weights`; folders and older models are digested.

    Raises:
        UserError: the data are missing.
    """
    code = [*stage_code("train", "threshold"), *(Path(__file__).with_name(name) for name in CODE)]
    vocabulary = read_vocabulary(PACKED_DIR)
    found: dict[str, Any] = {
        "code.sha256": code_sha256(code),
        "labels": list(vocabulary.labels.names),
        "channels": ", ".join(vocabulary.channels.names),
    }
    found |= {f"version of {name}": _version(name) for name in (*PACKAGES, backend)}
    for name in weights:
        path = repository_root() / name / WEIGHTS
        if start := start_of(name):
            found[f"weights of {name}"] = start.sha256
        elif path.is_file():
            found[f"weights of {name}"] = sha256(path)
    try:
        return found | {str(path): sha256(path) for path in DATA}
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} does not exist",
            expected="packed images and their split",
            received=f"no such file in {Path.cwd()}",
            remedy="create them: dvc repro split",
        ) from error


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def here_as(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `here` does, for the backend and weights of a study's identity."""
    named = [key.removeprefix("weights of ") for key in stated if key.startswith("weights of ")]
    return here(stated.get("train.backend", "tensorflow"), named)


def require_same(study: optuna.Study, fixed: Mapping[str, Any], *, instead: str) -> None:
    """Require that a study, unless it is new, has this identity; `instead` is another way out.

    Raises:
        UserError: it was created for others; lists each key, then and now.
    """
    then, now = (_by_key(stated) for stated in (study.user_attrs.get("fixed", fixed), fixed))
    keys = [key for key in {**then, **now} if then.get(key, ABSENT) != now.get(key, ABSENT)]
    differing = [key for key in keys if SPACE + key not in keys]  # else it joined or left the space
    if not differing:
        return
    lines = (_line(then, now, key) for key in differing)
    others = dict(_other(key) for key in differing)
    raise UserError(
        f"the study {study.study_name!r} was created for other {' and '.join(others)}",
        expected="the same data, parameters, code and versions in all of its trials",
        received="\n    ".join(["", *lines]),
        remedy=f"to resume it, {', '.join(others.values())}; or {instead}",
    )


def _by_key(fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity with each key of the search space on its own."""
    found = {key: value for key, value in fixed.items() if key != SPACE.strip(".")}
    for key, stated in flat_space(fixed.get(SPACE.strip("."), {})).items():
        is_range = isinstance(stated, Mapping)
        found[SPACE + key] = {"log": False, **stated} if is_range else stated
    return found


def _other(key: str) -> tuple[str, str]:
    """Return the kind of a key that differs, and how to go back."""
    return next(found for start, found in OTHERS.items() if key.startswith(start))


def _line(then: Mapping[str, Any], now: Mapping[str, Any], key: str) -> str:
    """Describe a difference: of labels, what was added and what is gone."""
    if key == "labels" and key in then and key in now:
        return f"labels: {Labels.named(then[key]).difference(Labels.named(now[key]))}"
    return f"{key}: {_text(then, key)} then, {_text(now, key)} now"


def _text(stated: Mapping[str, Any], key: str) -> str:
    """Return a value as text: digests short, ranges in words."""
    value = stated.get(key, ABSENT)
    if value is ABSENT:
        return "not searched" if key.startswith(SPACE) else "not recorded"
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return value[:N_DIGITS]
    return range_in_words(value)
