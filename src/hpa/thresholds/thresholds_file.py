"""The file thresholds.json: thresholds by label, with their evidence and their origin."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hpa.errors import UserError
from hpa.labels import LABELS
from hpa.metrics.origins import Origin
from hpa.system.files import digest, read_json
from hpa.thresholds.decisions import PlainRule, Thresholds
from hpa.thresholds.shown import ShownScale

PLAIN_RULES = ("fixed", "global", "sweep")


def thresholds_to_json(thresholds: Thresholds) -> dict[str, Any]:
    """Return plain dicts for `json.dump`, keyed by label in the competition's order."""
    keys = ("threshold", "rule", "support", "fit_f1", "cross_fitted_f1", "flags")
    rows = zip(
        thresholds.values.tolist(),
        thresholds.rule,
        thresholds.support.tolist(),
        thresholds.fit_f1.tolist(),
        thresholds.cross_fitted_f1.tolist(),
        map(list, thresholds.flags),
        strict=True,
    )
    return {
        "fit_macro_f1": thresholds.fit_macro_f1,
        "cross_fitted_macro_f1": thresholds.cross_fitted_macro_f1,
        "fill_empty": thresholds.fill_empty,
        "shown_scale": asdict(thresholds.shown_scale),
        "classes": _by_label(dict(zip(keys, row, strict=True)) for row in rows),
        "plain": {
            name: {
                "fit_macro_f1": rule.fit_macro_f1,
                "cross_fitted_macro_f1": rule.cross_fitted_macro_f1,
                "thresholds": _by_label(rule.values.tolist()),
            }
            for name, rule in thresholds.plain.items()
        },
    }


def read_thresholds(path: Path) -> tuple[Thresholds, dict[str, Any]]:
    """Read the exact thresholds of `thresholds_to_json`; labels may come in any order.

    Returns:
        The thresholds, and what the file says beside them: `run_id`, the run that chose them;
        `score`, the `augmentation` and `merge` of the scores that they were fitted to; and their
        `origin` with their digest, in which files of earlier versions name nothing else.

    Raises:
        UserError: the file is absent, a key is missing or unknown, or a value is of the wrong type
            or range.
    """
    document = _parse(read_json(path), str(path))
    thresholds = _thresholds(document)
    score = {f"score.{key}": value for key, value in document.score.items()}
    origin = Origin.from_json(document.origin).plus(score)
    origin = replace(origin, thresholds_sha256=thresholds_digest(thresholds))
    return thresholds, {"run_id": document.run_id, "score": document.score, "origin": origin}


def thresholds_digest(thresholds: Thresholds) -> str:
    """Return the SHA-256 of thresholds with their evidence, whatever run they belong to."""
    return digest(thresholds_to_json(thresholds))


def _keys(names: Iterable[str]) -> BeforeValidator:
    """Refuse a mapping without exactly these keys."""

    def check(mapping: object) -> object:
        if isinstance(mapping, Mapping):
            missing = [name for name in names if name not in mapping]
            unknown = [key for key in mapping if key not in names]
            if missing or unknown:
                raise ValueError(f"missing {missing}, unknown {unknown}")
        return mapping

    return BeforeValidator(check)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Threshold = Annotated[float, Field(gt=0, lt=1)]


class _ClassRow(_Strict):
    threshold: _Threshold
    rule: str
    support: int
    fit_f1: float
    cross_fitted_f1: float
    flags: list[str]


class _PlainRow(_Strict):
    fit_macro_f1: float
    cross_fitted_macro_f1: float
    thresholds: Annotated[dict[str, _Threshold], _keys(LABELS)]


class _ShownScale(_Strict):
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    error_before: float | None
    error_after: float | None
    log_loss_before: float | None
    log_loss_after: float | None


class _Document(_Strict):
    run_id: str = ""
    score: dict[str, str] = {"augmentation": "none", "merge": "mean_logit"}
    origin: dict[str, Any] = {}
    fit_macro_f1: float
    cross_fitted_macro_f1: float
    fill_empty: bool = False  # absent from files of earlier versions, like the next
    shown_scale: _ShownScale | None = None
    classes: Annotated[dict[str, _ClassRow], _keys(LABELS)]
    plain: Annotated[dict[str, _PlainRow], _keys(PLAIN_RULES)]


def _parse(document: object, name: str) -> _Document:
    try:
        return _Document.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise UserError(
            f"{name} holds no thresholds",
            expected=f"{place}: {first['msg']}",
            received=repr(first["input"])[:200],
            remedy="run the threshold stage again: dvc repro threshold",
        ) from error


def _thresholds(document: _Document) -> Thresholds:
    rows = [document.classes[label] for label in LABELS]
    return Thresholds(
        values=np.array([row.threshold for row in rows]),
        rule=tuple(row.rule for row in rows),
        support=np.array([row.support for row in rows], dtype=np.int64),
        fit_f1=np.array([row.fit_f1 for row in rows]),
        cross_fitted_f1=np.array([row.cross_fitted_f1 for row in rows]),
        flags=tuple(tuple(row.flags) for row in rows),
        plain={
            name: PlainRule(
                np.array([rule.thresholds[label] for label in LABELS]),
                rule.fit_macro_f1,
                rule.cross_fitted_macro_f1,
            )
            for name, rule in document.plain.items()
        },
        fill_empty=document.fill_empty,
        shown_scale=ShownScale(**dict(document.shown_scale or {})),
    )


def _by_label(values: Iterable[Any]) -> dict[str, Any]:
    return dict(zip(LABELS, values, strict=True))
