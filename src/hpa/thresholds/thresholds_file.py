"""The file thresholds.json: thresholds by label, with their evidence and their origin."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from hpa.errors import UserError, first_names
from hpa.metrics.origins import Origin
from hpa.system.files import digest, read_json
from hpa.thresholds.decisions import PlainRule, Thresholds
from hpa.thresholds.shown import ShownScale
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Labels

PLAIN_RULES = ("fixed", "global", "sweep")


def thresholds_to_json(thresholds: Thresholds) -> dict[str, Any]:
    """Return plain dicts for `json.dump`, keyed by label in the order of the columns."""
    names = thresholds.labels.names
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
        "labels": thresholds.labels.to_json(),
        "fit_macro_f1": thresholds.fit_macro_f1,
        "cross_fitted_macro_f1": thresholds.cross_fitted_macro_f1,
        "fill_empty": thresholds.fill_empty,
        "shown_scale": asdict(thresholds.shown_scale),
        "classes": dict(
            zip(names, (dict(zip(keys, row, strict=True)) for row in rows), strict=True)
        ),
        "plain": {
            name: {
                "fit_macro_f1": rule.fit_macro_f1,
                "cross_fitted_macro_f1": rule.cross_fitted_macro_f1,
                "thresholds": dict(zip(names, rule.values.tolist(), strict=True)),
            }
            for name, rule in thresholds.plain.items()
        },
    }


def read_thresholds(path: Path) -> tuple[Thresholds, dict[str, Any]]:
    """Read the exact thresholds of `thresholds_to_json`; classes may come in any order.

    Files of earlier versions name no `labels`: theirs are those of the competition.

    Returns:
        The thresholds, and what the file says beside them: `run_id`, the run that chose them;
        `score`, the `augmentation` and `merge` of the scores that they were fitted to; and their
        `origin` with their digest, in which files of earlier versions name nothing else.

    Raises:
        UserError: the file is absent, a key is missing or unknown, or a value is of the wrong type
            or range.
    """
    document, labels = _parse(read_json(path), str(path))
    thresholds = _thresholds(document, labels)
    score = {f"score.{key}": value for key, value in document.score.items()}
    origin = Origin.from_json(document.origin).plus(score)
    origin = replace(origin, thresholds_sha256=thresholds_digest(thresholds))
    return thresholds, {"run_id": document.run_id, "score": document.score, "origin": origin}


def thresholds_digest(thresholds: Thresholds) -> str:
    """Return the SHA-256 of thresholds with their evidence, by class, whatever their run."""
    document = thresholds_to_json(thresholds)
    return digest({key: value for key, value in document.items() if key != "labels"})


def _check_keys(mapping: object, names: Iterable[str]) -> object:
    """Refuse a mapping without exactly these keys."""
    if isinstance(mapping, Mapping):
        missing = [name for name in names if name not in mapping]
        unknown = [key for key in mapping if key not in names]
        if missing or unknown:
            parts = {"missing": first_names(missing), "unknown": first_names(unknown)}
            raise ValueError("; ".join(f"{key} {names}" for key, names in parts.items() if names))
    return mapping


@BeforeValidator
def _by_rule(mapping: object) -> object:
    return _check_keys(mapping, PLAIN_RULES)


@BeforeValidator
def _by_label(mapping: object, info: ValidationInfo) -> object:
    labels: Any = info.context
    return _check_keys(mapping, labels.names)


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
    thresholds: Annotated[dict[str, _Threshold], _by_label]


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
    labels: list[Any] = []
    fit_macro_f1: float
    cross_fitted_macro_f1: float
    fill_empty: bool = False  # absent from files of earlier versions, like the next
    shown_scale: _ShownScale | None = None
    classes: Annotated[dict[str, _ClassRow], _by_label]
    plain: Annotated[dict[str, _PlainRow], _by_rule]


def _parse(document: object, name: str) -> tuple[_Document, Labels]:
    labels = hpa2018.LABELS  # of files of earlier versions
    try:
        if isinstance(document, Mapping) and "labels" in document:
            labels = Labels.from_json(document["labels"])
        return _Document.model_validate(document, context=labels), labels
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        wrong, received = f"{place}: {first['msg']}", repr(first["input"])[:200]
    except ValueError as error:
        wrong, received = f"labels: {error}"[:400], repr(document["labels"])[:200]  # type: ignore[index]
    raise UserError(
        f"{name} holds no thresholds",
        expected=wrong,
        received=received,
        remedy="run the threshold stage again: dvc repro threshold",
    )


def _thresholds(document: _Document, labels: Labels) -> Thresholds:
    rows = [document.classes[label] for label in labels.names]
    return Thresholds(
        values=np.array([row.threshold for row in rows]),
        rule=tuple(row.rule for row in rows),
        support=np.array([row.support for row in rows], dtype=np.int64),
        fit_f1=np.array([row.fit_f1 for row in rows]),
        cross_fitted_f1=np.array([row.cross_fitted_f1 for row in rows]),
        flags=tuple(tuple(row.flags) for row in rows),
        plain={
            name: PlainRule(
                np.array([rule.thresholds[label] for label in labels.names]),
                rule.fit_macro_f1,
                rule.cross_fitted_macro_f1,
            )
            for name, rule in document.plain.items()
        },
        labels=labels,
        fill_empty=document.fill_empty,
        shown_scale=ShownScale(**dict(document.shown_scale or {})),
    )
