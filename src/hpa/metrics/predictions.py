"""Scores of one split on disk, so that the network runs once."""

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpa.errors import UserError
from hpa.metrics.bootstrap import check_groups
from hpa.metrics.counts import check_indicators, check_same_shape
from hpa.metrics.origins import UNKNOWN, Origin
from hpa.system.files import atomic_path
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Labels


@dataclass(frozen=True, eq=False)
class Scores:
    """Probabilities of N images, with their labels if known.

    Attributes:
        ids: image names, unicode [N], unique.
        y_true: uint8[N,C], or None for unlabelled images.
        y_prob: float32[N,C] in [0,1].
        labels: of the C columns.
        run_id: the training run that gave the scores, "" if unknown.
        augmentation, merge: settings of the score stage, as in params.yaml.
        groups: int64[N]; rows of one group are not independent. None: all rows are.
        origin: networks, data and parameters behind them; empty if unknown.
    """

    ids: np.ndarray
    y_true: np.ndarray | None
    y_prob: np.ndarray
    labels: Labels
    run_id: str = ""
    augmentation: str = "none"
    merge: str = "mean_logit"
    groups: np.ndarray | None = None
    origin: Origin = UNKNOWN

    def __post_init__(self) -> None:
        check_probabilities("y_prob", self.y_prob, n_classes=len(self.labels))
        check_ids(self.ids, n_rows=len(self.y_prob))
        if self.groups is not None:
            check_groups(self.groups, len(self.y_prob))
        if self.y_true is not None:
            check_indicators("y_true", self.y_true)
            check_same_shape("y_true", self.y_true, "y_prob", self.y_prob)
        if self.y_prob.dtype != np.float32:
            raise ValueError(f"y_prob must be float32, got {self.y_prob.dtype}")

    def __len__(self) -> int:
        return len(self.y_prob)

    def labelled(self, name: str = "scores") -> np.ndarray:
        """Return y_true uint8[N,C].

        Raises:
            UserError: the scores have no labels.
        """
        if self.y_true is None:
            raise UserError(
                f"{name} cannot be evaluated",
                expected=f"y_true uint8[{len(self)},{len(self.labels)}]",
                received="scores without labels",
                remedy="score a split with labels, or only predict",
            )
        return self.y_true

    @property
    def made_by(self) -> Origin:
        """Their origin with their own digest and settings, for comparison with thresholds."""
        own = {"score.augmentation": self.augmentation, "score.merge": self.merge}
        return replace(self.origin.plus(own), scores_sha256=self.digest())

    def digest(self) -> str:
        """Return the SHA-256 of ids, probabilities, labels and groups, 64 digits."""
        optional = [getattr(self, key) for key in _OPTIONAL]
        parts = ["\0".join(self.ids).encode(), self.y_prob.tobytes()]
        parts += [b"" if array is None else array.tobytes() for array in optional]
        return hashlib.sha256(b"\0\0".join(parts)).hexdigest()

    def write(self, path: Path) -> None:
        """Write a compressed .npz atomically; equal scores give equal bytes."""
        arrays = {"ids": self.ids, "y_prob": self.y_prob}
        arrays |= {key: np.array(getattr(self, key)) for key in _TEXTS}
        arrays |= {key: getattr(self, key) for key in _OPTIONAL if getattr(self, key) is not None}
        arrays["origin"] = np.array(json.dumps(self.origin.to_json()))
        arrays["labels"] = labels_array(self.labels)
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> "Scores":
        """Read an .npz of `write` or of another program; unknown keys are ignored.

        Ids may be integers, and probabilities floats of any size: they are kept as float32. Labels
        may be an array of names; see `labels_in`.

        Raises:
            UserError: the file is absent, not an .npz, lacks a key, or its arrays are inconsistent.
        """
        arrays = load_arrays(path, ("ids", "y_prob"), stage="score")
        ids, y_prob, labels = arrays["ids"], arrays["y_prob"], labels_in(arrays, path)
        try:
            return cls(
                ids=ids.astype(np.str_) if ids.dtype.kind in "iu" else ids,
                y_prob=y_prob.astype(np.float32) if y_prob.dtype.kind == "f" else y_prob,
                y_true=arrays.get("y_true"),
                groups=arrays.get("groups"),
                labels=labels,
                origin=origin_in(arrays),
                **{key: str(arrays[key]) for key in _TEXTS if key in arrays},
            )
        except ValueError as error:
            raise file_error(f"{path} holds unusable scores", str(error), "score") from error


_OPTIONAL, _TEXTS = ("y_true", "groups"), ("run_id", "augmentation", "merge")


def check_probabilities(name: str, y_prob: np.ndarray, n_classes: int | None = None) -> None:
    """Require finite probabilities in [0,1], floating [N,C], of `n_classes` if that is known.

    >>> check_probabilities("y_prob", np.full((1, 5), 2.5))
    Traceback (most recent call last):
    ValueError: y_prob must be in [0,1], got 2.5 at row 0, column 0; apply the sigmoid to logits
    """
    if y_prob.ndim != 2 or n_classes not in (None, y_prob.shape[1]):
        raise ValueError(f"{name} must have shape [N,{n_classes or 'C'}], got {y_prob.shape}")
    if y_prob.dtype.kind != "f":
        raise ValueError(f"{name} must hold floats, got {y_prob.dtype}")
    valid = (y_prob >= 0) & (y_prob <= 1)
    if not valid.all():
        row, column = np.argwhere(~valid)[0]
        raise ValueError(
            f"{name} must be in [0,1], got {y_prob[row, column]:g} at row {row}, column {column}; "
            "apply the sigmoid to logits"
        )


def check_ids(ids: np.ndarray, n_rows: int) -> None:
    """Require unique unicode ids, one per row."""
    if ids.dtype.kind != "U" or ids.shape != (n_rows,):
        raise ValueError(
            f"ids must be text of shape ({n_rows},), got {ids.dtype} of shape {ids.shape}"
        )
    names, occurrences = np.unique(ids, return_counts=True)
    if (occurrences > 1).any():
        name, n = str(names[occurrences.argmax()]), occurrences.max()
        raise ValueError(f"ids must be unique, got {name!r} {n} times")


def load_arrays(path: Path, keys: tuple[str, ...], *, stage: str) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz that a stage wrote.

    Raises:
        UserError: the file is absent, damaged or not an .npz, holds pickles, or lacks a key.
    """
    if not path.is_file():
        received = "a folder" if path.is_dir() else "no such file"
        raise file_error(f"there are no scores at {path}", received, stage)
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError) as error:
        received = f"{path.stat().st_size} bytes: {error}"
        raise file_error(f"{path} cannot be read", received, stage) from error
    missing = [key for key in keys if key not in arrays]
    if missing:
        received = ", ".join(sorted(arrays)) or "no key"
        raise file_error(f"{path} lacks {', '.join(missing)}", received, stage)
    return arrays


def origin_in(arrays: dict[str, np.ndarray]) -> Origin:
    """Return the origin in the arrays of an .npz; an empty one if another program wrote them."""
    return Origin.from_json(json.loads(str(arrays["origin"]))) if "origin" in arrays else UNKNOWN


def labels_array(labels: Labels) -> np.ndarray:
    """Return labels as an array of an .npz, for `labels_in`."""
    return np.array(json.dumps(labels.to_json(), ensure_ascii=False))


def labels_in(arrays: dict[str, np.ndarray], path: Path) -> Labels:
    """Return the labels of the columns of `y_prob` in an .npz.

    The key `labels` holds the JSON of `labels_array`, or an array of names. Files of earlier
    versions lack it: 28 columns are then those of the competition.

    Raises:
        UserError: the key is missing and the columns are not 28, or its content is wrong.
    """
    if "labels" in arrays:
        stored = arrays["labels"].astype(np.str_)
        try:
            return Labels.from_json(stored.tolist() if stored.ndim else json.loads(str(stored)))
        except ValueError as error:
            received = f"{str(error)[:200]}, in {str(stored)[:200]}"
            raise file_error(f"{path} holds unusable labels", received, "score") from error
    n_columns = arrays["y_prob"].shape[-1] if arrays["y_prob"].ndim else 0
    if n_columns == len(hpa2018.LABELS):
        return hpa2018.LABELS
    raise UserError(
        f"{path} does not name its labels",
        expected=f"the key labels: an array of {n_columns} names, in the order of the columns of "
        f"y_prob; without it, {len(hpa2018.LABELS)} columns, those of {hpa2018.NAME}",
        received=f"y_prob of shape {arrays['y_prob'].shape} and no labels",
        remedy="add it to the file: np.savez(path, ..., labels=np.array([name, ...]))",
    )


def file_error(wrong: str, received: str, stage: str) -> UserError:
    """Return the error for an .npz that `stage` should have written."""
    return UserError(
        wrong,
        expected="a complete .npz of consistent arrays, without pickled objects",
        received=received,
        remedy=f"run the {stage} stage, or fix the program that wrote the file",
    )
