"""The scores of one split on disk: what the network said, kept so that it runs once."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa.errors import UserError
from hpa.labels import N_LABELS
from hpa.metrics.bootstrap import check_groups
from hpa.metrics.counts import check_indicators, check_same_shape
from hpa.system.files import atomic_path


@dataclass(frozen=True, eq=False)
class Scores:
    """Probabilities of N images, row by row, with their truth where it is known.

    Attributes:
        ids: image names, unicode [N], each once.
        y_true: uint8[N,28], or None for unlabelled images.
        y_prob: float32[N,28] in [0,1].
        run_id: the training run that gave the scores, "" where unknown.
        augmentation, merge: how they were made, as in section score of params.yaml.
        groups: int64[N]; rows of one group are no independent evidence. None: all are.
    """

    ids: np.ndarray
    y_true: np.ndarray | None
    y_prob: np.ndarray
    run_id: str = ""
    augmentation: str = "none"
    merge: str = "mean_logit"
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_probabilities("y_prob", self.y_prob)
        check_ids(self.ids, n_rows=len(self.y_prob))
        if self.groups is not None:
            check_groups(self.groups, len(self.y_prob))
        if self.y_true is not None:
            check_indicators("y_true", self.y_true)
            check_same_shape("y_true", self.y_true, "y_prob", self.y_prob)
        if self.y_prob.dtype != np.float32:
            raise UserError(
                "y_prob has the wrong type",
                expected="float32",
                received=f"{self.y_prob.dtype}",
                remedy="convert it with .astype(numpy.float32)",
            )

    def __len__(self) -> int:
        return len(self.y_prob)

    def labelled(self, name: str = "scores") -> np.ndarray:
        """Return y_true uint8[N,28], or refuse where there is none."""
        if self.y_true is None:
            raise UserError(
                f"{name} cannot be judged",
                expected=f"y_true uint8[{len(self)},{N_LABELS}]",
                received="scores without labels",
                remedy="score a split with labels, or only predict",
            )
        return self.y_true

    def write(self, path: Path) -> None:
        """Write a compressed .npz whole or not at all; equal scores give equal bytes."""
        arrays = {"ids": self.ids, "y_prob": self.y_prob}
        arrays |= {key: np.array(getattr(self, key)) for key in _TEXTS}
        arrays |= {key: getattr(self, key) for key in _OPTIONAL if getattr(self, key) is not None}
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> "Scores":
        """Read what `write` wrote; keys of other programs are ignored, as is their order.

        Ids may be whole numbers, and probabilities floats of any size: they are kept as float32.

        Raises:
            UserError: the file is absent, no .npz, lacks a key, or its arrays do not fit together.
        """
        arrays = load_arrays(path, ("ids", "y_prob"), stage="score")
        ids, y_prob = arrays["ids"], arrays["y_prob"]
        try:
            return cls(
                ids=ids.astype(np.str_) if ids.dtype.kind in "iu" else ids,
                y_prob=y_prob.astype(np.float32) if y_prob.dtype.kind == "f" else y_prob,
                y_true=arrays.get("y_true"),
                groups=arrays.get("groups"),
                **{key: str(arrays[key]) for key in _TEXTS if key in arrays},
            )
        except UserError as error:
            raise UserError(
                f"{path} holds unusable scores",
                expected="ids, y_true and y_prob that fit together",
                received=str(error),
                remedy="run the score stage again, or mend the program that wrote it",
            ) from error


_OPTIONAL, _TEXTS = ("y_true", "groups"), ("run_id", "augmentation", "merge")


def check_probabilities(name: str, y_prob: np.ndarray) -> None:
    """Refuse anything but finite probabilities in [0,1], floating [N,28]."""
    if y_prob.ndim != 2 or y_prob.shape[1] != N_LABELS:
        raise UserError(
            f"{name} has the wrong shape",
            expected=f"[N,{N_LABELS}]",
            received=f"shape {y_prob.shape}",
            remedy="give one row an image and one column a label",
        )
    if y_prob.dtype.kind != "f":
        raise UserError(
            f"{name} holds no probabilities",
            expected="floating numbers",
            received=f"{y_prob.dtype}",
            remedy="give the scores before any threshold",
        )
    valid = (y_prob >= 0) & (y_prob <= 1)
    if not valid.all():
        row, column = np.argwhere(~valid)[0]
        raise UserError(
            f"{name} is out of range",
            expected="finite numbers in [0,1]",
            received=f"{y_prob[row, column]:g} at row {row}, column {column}",
            remedy="apply the sigmoid if these are logits; a NaN comes from a diverged training",
        )


def check_ids(ids: np.ndarray, n_rows: int) -> None:
    """Refuse ids that are no text, too many, too few, or not unique."""
    if ids.dtype.kind != "U" or ids.shape != (n_rows,):
        raise UserError(
            "ids do not fit the scores",
            expected=f"unicode text of shape ({n_rows},), one name a row of y_prob",
            received=f"{ids.dtype} of shape {ids.shape}",
            remedy="take ids and y_prob from the same rows",
        )
    names, occurrences = np.unique(ids, return_counts=True)
    if (occurrences > 1).any():
        twice = names[occurrences.argmax()]
        raise UserError(
            "ids are not unique",
            expected="each image once",
            received=f"{str(twice)!r} {occurrences.max()} times",
            remedy="average repeated scores of an image first",
        )


def load_arrays(path: Path, keys: tuple[str, ...], *, stage: str) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz that a stage wrote.

    Raises:
        UserError: the file is absent, no whole .npz, holds pickles, or lacks one of `keys`.
    """
    if not path.is_file():
        raise UserError(
            f"there are no scores at {path}",
            expected=f"an .npz with {', '.join(keys)}",
            received="a folder" if path.is_dir() else "no such file",
            remedy=f"run the {stage} stage first",
        )
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError) as error:
        raise UserError(
            f"{path} cannot be read",
            expected="a whole .npz without pickled objects",
            received=f"{path.stat().st_size} bytes: {error}",
            remedy=f"run the {stage} stage again",
        ) from error
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}",
            expected=f"the keys {', '.join(keys)}",
            received=", ".join(sorted(arrays)) or "no key",
            remedy=f"run the {stage} stage again",
        )
    return arrays
