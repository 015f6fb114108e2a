"""Identity of a study: all that decides the value of a trial besides its own parameters."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import optuna

from hpa.config.folders import PACKED_DIR, SPLIT_DIR
from hpa.config.params import Params
from hpa.errors import UserError
from hpa.search.space import SECTIONS, Space
from hpa.system.files import code_sha256, repository_root, sha256
from hpa.training.code import stage_code

DATA = [PACKED_DIR / "manifest.json", PACKED_DIR / "index.csv", SPLIT_DIR / "assignment.csv"]
KEYS = ("search.trial_steps", "search.trial_rounds", "search.space", "threshold.seed")
"""Parameters outside the trained sections that decide a value; its thresholds are always those of
the rule `selected`, whatever `threshold.rule`."""
UNIMPORTANT = ("train.checkpoint_every",)
PACKAGES = ("keras", "numpy", "scipy", "scikit-learn")
CODE = ("trial.py", "space.py")
"""Files of this room that decide a value, beside the code of train and threshold."""
WEIGHTS = "model.safetensors"


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


def here(backend: str, weights: list[str]) -> dict[str, str]:
    """Return digests of data and code, and versions, as they are on this machine.

    Args:
        backend: of Keras.
        weights: values of `model.weights`; those that name a folder are digested.

    Raises:
        UserError: the data are missing.
    """
    code = [*stage_code("train", "threshold"), *(Path(__file__).with_name(name) for name in CODE)]
    found = {"code.sha256": code_sha256(code)}
    found |= {f"version of {name}": _version(name) for name in (*PACKAGES, backend)}
    files = {name: repository_root() / name / WEIGHTS for name in weights}
    found |= {f"weights of {name}": sha256(f) for name, f in files.items() if f.is_file()}
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


def here_as(stated: Mapping[str, Any]) -> dict[str, str]:
    """Return what `here` does, for the backend and weights of a study's identity."""
    named = [key.removeprefix("weights of ") for key in stated if key.startswith("weights of ")]
    return here(stated.get("train.backend", "tensorflow"), named)


def require_same(study: optuna.Study, fixed: Mapping[str, Any]) -> None:
    """Require that a study, unless it is new, has this identity.

    Raises:
        UserError: it was created for others; lists each key, then and now.
    """
    before = study.user_attrs.get("fixed", fixed)
    absent = "not recorded"
    differing = [
        f"{key}: {before.get(key, absent)!r} then, {fixed.get(key, absent)!r} now"
        for key in {**before, **fixed}
        if before.get(key, absent) != fixed.get(key, absent)
    ]
    if differing:
        raise UserError(
            f"the study {study.study_name!r} was created for other data, parameters or code",
            expected="the same data, parameters, code and versions in all of its trials",
            received="\n    ".join(["", *differing]),
            remedy="change it back, or name a new study: search.study_name",
        )
