"""Predictions for the test split in one file, for comparison with another run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpa.config.params import fetched_channels
from hpa.config.source_list import named_sources
from hpa.data.packed.record import FETCHED_BY
from hpa.errors import UserError
from hpa.metrics.bootstrap import check_groups
from hpa.metrics.counts import check_indicators, check_same_shape
from hpa.metrics.origins import UNKNOWN, Origin, require_same_vocabulary
from hpa.metrics.predictions import (
    check_ids,
    check_probabilities,
    file_error,
    labels_array,
    labels_in,
    load_arrays,
    origin_in,
)
from hpa.system.files import atomic_path
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Labels

FILE_NAME = "test_predictions.npz"
APART = {"fetch.path", "fetch.labels", "fetch.channels"}
"""Parameters of fetch that may differ, or that are compared by what they mean."""


@dataclass(frozen=True, eq=False)
class EvaluatedSplit:
    """Truth and predictions of N test images.

    Attributes:
        ids: image names, unicode [N], unique.
        groups: int64[N]; images of one group are not independent.
        y_true: uint8[N,C].
        y_prob: float32[N,C] in [0,1].
        y_pred: uint8[N,C], y_prob at the thresholds of the run.
        labels: of the C columns.
        run_id: the run of the evaluation, "" if unknown.
        origin: what made the probabilities and the thresholds; empty if unknown.
    """

    ids: np.ndarray
    groups: np.ndarray
    y_true: np.ndarray
    y_prob: np.ndarray
    y_pred: np.ndarray
    labels: Labels
    run_id: str = ""
    origin: Origin = UNKNOWN

    def __post_init__(self) -> None:
        check_probabilities("y_prob", self.y_prob, n_classes=len(self.labels))
        check_ids(self.ids, len(self.y_prob))
        if len(self):  # there may be no holdout images
            check_groups(self.groups, len(self.y_prob))
        for name, array in (("y_true", self.y_true), ("y_pred", self.y_pred)):
            check_indicators(name, array)
            check_same_shape(name, array, "y_prob", self.y_prob)

    def __len__(self) -> int:
        return len(self.y_prob)

    def write(self, path: Path) -> None:
        """Write a compressed .npz atomically."""
        origin = np.array(json.dumps(self.origin.to_json()))
        arrays = {**vars(self), "run_id": np.array(self.run_id), "origin": origin}
        arrays["labels"] = labels_array(self.labels)
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> "EvaluatedSplit":
        """Read the file of `write`.

        Raises:
            UserError: the file is absent, not an .npz, lacks a key, or its arrays are inconsistent.
        """
        keys = ("ids", "groups", "y_true", "y_prob", "y_pred")
        arrays = load_arrays(path, keys, stage="evaluate")
        labels = labels_in(arrays, path)
        try:
            return cls(
                **{key: arrays[key] for key in keys},
                labels=labels,
                run_id=str(arrays.get("run_id", "")),
                origin=origin_in(arrays),
            )
        except ValueError as error:
            raise file_error(
                f"{path} holds unusable predictions", str(error), "evaluate"
            ) from error

    def sorted(self) -> "EvaluatedSplit":
        """Return the same rows in the order of their ids, groups numbered by first appearance.

        Two evaluations of the same images in the same groups then have equal `ids`, `y_true` and
        `groups`, whatever the order of rows and the numbers of groups.
        """
        order = np.argsort(self.ids)
        _, first, numbers = np.unique(self.groups[order], return_index=True, return_inverse=True)
        names = ("ids", "y_true", "y_prob", "y_pred")
        arrays = {name: getattr(self, name)[order] for name in names}
        return replace(self, **arrays, groups=np.argsort(np.argsort(first))[numbers])

    def digest(self) -> str:
        """Return the SHA-256 of ids, labels and groups, 64 digits."""
        rows = self.sorted()
        parts = ("\0".join(rows.ids).encode(), rows.y_true.tobytes(), rows.groups.tobytes())
        return hashlib.sha256(b"\0\0".join(parts)).hexdigest()


def check_same_data(a: EvaluatedSplit, b: EvaluatedSplit) -> tuple[EvaluatedSplit, EvaluatedSplit]:
    """Return both with rows in the same order.

    Raises:
        UserError: vocabulary, images, labels or groups differ.
    """
    names, remedy = ("run A", "run B"), "compare runs of one vocabulary: the same fetch.labels"
    require_same_vocabulary(a.labels, b.labels, names=names, remedy=remedy)
    a, b = a.sorted(), b.sorted()
    only_a, only_b = np.setdiff1d(a.ids, b.ids), np.setdiff1d(b.ids, a.ids)
    if len(only_a) or len(only_b):
        examples = ", ".join(repr(str(each)) for each in [*only_a[:1], *only_b[:1]])
        received = f"{len(only_a)} images only in A, {len(only_b)} only in B, such as {examples}"
    elif (a.y_true != b.y_true).any():
        relabelled = a.ids[(a.y_true != b.y_true).any(axis=1)]
        received = f"other labels for {len(relabelled)} of {len(a.ids)} images, such as "
        received += repr(str(relabelled[0]))
    elif (a.groups != b.groups).any():
        example = str(a.ids[a.groups != b.groups][0])
        received = f"the same images in other groups, such as {example!r}"
    elif differing := _fetched_differently(a, b):
        received = f"images of the same names, but fetched otherwise: {', '.join(differing)}"
    else:
        return a, b
    raise UserError(
        "the two runs were not evaluated on the same data",
        expected="the same test images with the same labels and groups in both",
        received=f"{received} (digests {a.digest()[:12]} and {b.digest()[:12]})",
        remedy="evaluate both on one version of data/split (dvc checkout, then dvc repro evaluate)",
    )


def _fetched_differently(a: EvaluatedSplit, b: EvaluatedSplit) -> list[str]:
    """Describe parameters of fetch that differ, and channels.

    The path does not count, as a folder may have moved, nor how labels are stated, nor sources that
    only train.
    """
    one, other = a.origin.params, b.origin.params
    differing = ""
    if "fetch.source" in one and "fetch.source" in other:
        stated = (params.get("fetch.channels", hpa2018.NAME) for params in (one, other))
        channels, others = map(fetched_channels, stated)
        differing = channels.difference(others)
    found = [f"channels {differing} in B"] * bool(differing)
    judging, of_other = _judging(one), _judging(other)
    if len(judging) != len(of_other):
        return [*found, f"{len(judging)} sources that judge in A, {len(of_other)} in B"]
    return found + [
        f"{key} {mine[key]!r} in A, {yours[key]!r} in B"
        for mine, yours in zip(judging, of_other, strict=True)
        for key in sorted(mine.keys() & yours.keys() - APART)
        if mine[key] != yours[key]
    ]


def _judging(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of fetch of each source whose images may be in test."""
    fetch = {key: value for key, value in params.items() if key.startswith("fetch.")}
    if params.get("fetch.source") != "several":
        return [fetch]
    only_train = named_sources(params.get("split.train_only"))
    sources = [each for each in params["fetch.sources"] if each["name"] not in only_train]
    return [
        {
            f"fetch.{key}": each.get(key, fetch.get(f"fetch.{key}"))
            for key in ("source", *FETCHED_BY[each["source"]])
        }
        for each in sources
    ]
