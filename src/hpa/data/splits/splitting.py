"""Assign images to train, val and test; no picture and no group is in two of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hpa.data.packed.assignment import HOLDOUT, NO_FOLD, SPLITS, UNLABELLED, of_fold
from hpa.data.packed.record import RECORD
from hpa.data.splits.duplicates import duplicate_groups, scaled_distance
from hpa.data.splits.stratification import divide, divide_evenly, rate_errors
from hpa.data.splits.training_sources import may_judge
from hpa.errors import UserError
from hpa.system.files import atomic_path, write_json
from hpa.vocabulary.labels import Labels

N_VIEWS = 8
"""Rotations by multiples of 90 degrees and their mirror images: the turns of `augment.turn`."""


def split_images(
    index: pd.DataFrame,
    labels: Labels,
    *,
    test_fraction: float,
    val_fraction: float,
    holdout_fraction: float = 0.0,
    n_folds: int,
    hash_distance: int,
    seed: int,
    train_only: str | None = None,
) -> pd.DataFrame:
    """Assign each packed image to a split.

    The test split depends on `test_fraction` alone, the holdout split on both fractions: all folds
    share the same test images. A label of at least three groups is in train, val and test, unless
    the label sets of the groups make it impossible (see `coverage.complete` and `shortfalls`).
    With k folds, a label needs k groups outside test to be in every val. Groups that only train do
    not count: fractions and labels are those of the others.

    Args:
        index: the packed index: `Id`, `Target`, `group`, `labelled`, `hash` (of eight views), and
            `source` if it is known.
        labels: the labels of `Target`.
        val_fraction: share for val if `n_folds` is 1; otherwise the folds are equal shares of the
            images outside test and holdout.
        holdout_fraction: share of the images that judge promotions alone; 0 for none.
        hash_distance: bits (of 256, the hash of four channels; of others in proportion) in which
            hashes of the same picture may differ.
        train_only: names of sources, see `training_sources.may_judge`: their labelled images are
            in train, in every fold, with all images of their groups and all copies.

    Returns:
        `Id`, `group` (a number; its images share a split), `split` (`train`, `val`, `test`,
        `holdout` or `unlabelled`), and with several folds `fold`, from 0, or -1 outside the folds;
        in the order of `index`. The first fold is `val`; for others see `assignment.of_fold`.

    Raises:
        UserError: there are too few groups for three splits, an earlier version packed the
            images, or `train_only` names no source or all.

    >>> labels = Labels.named(["Nucleoplasm"])
    >>> index = pd.DataFrame({"Id": list("abcdefghij"), "Target": "0", "group": list("abcdefghij")})
    >>> index = index.assign(
    ...     labelled=True, hash=[" ".join([f"{1 << 9 * row:064x}"] * 8) for row in range(10)]
    ... )
    >>> assignment = split_images(
    ...     index, labels, test_fraction=0.2, val_fraction=0.2, n_folds=1, hash_distance=1, seed=0
    ... )
    >>> [int((assignment["split"] == name).sum()) for name in SPLITS]
    [6, 2, 2]
    """
    _require_views(index["hash"])
    duplicates = duplicate_groups(
        list(index["hash"]), scaled_distance(index["hash"], hash_distance)
    )
    group = _merged_groups(index["group"], duplicates)
    labelled = index["labelled"].to_numpy(bool)
    judging = labelled & may_judge(index, group, train_only)
    names, member = np.unique(group[judging], return_inverse=True)
    counts = np.zeros((len(names), len(labels)), dtype=int)
    np.add.at(counts, member, labels.indicators(index["Target"][judging]))
    requested = {"test": test_fraction, HOLDOUT: holdout_fraction}
    if n_folds == 1:
        requested["val"] = val_fraction
    split_of_group, fold_of_group = _assign(counts, np.bincount(member), requested, n_folds, seed)
    split = np.where(labelled, "train", UNLABELLED).astype(object)
    fold = np.full(len(index), NO_FOLD)
    split[judging], fold[judging] = split_of_group[member], fold_of_group[member]
    columns = {"Id": index["Id"], "group": group, "split": split}
    return pd.DataFrame(columns | ({"fold": fold} if n_folds > 1 else {}))


def write_split(
    split_dir: Path,
    index: pd.DataFrame,
    labels: Labels,
    assignment: pd.DataFrame,
    record: Mapping[str, Any] | None = None,
    judging: np.ndarray | None = None,
) -> pd.DataFrame:
    """Write `assignment.csv`, `label_counts.csv` and the record, all or none; return the counts."""
    counts = label_counts(index, labels, assignment, judging)
    with atomic_path(split_dir) as folder:
        folder.mkdir()
        assignment.to_csv(folder / "assignment.csv", index=False)
        counts.to_csv(folder / "label_counts.csv", index=False)
        if record:
            write_json(folder / RECORD, record)
    return counts


def label_counts(
    index: pd.DataFrame, labels: Labels, assignment: pd.DataFrame, judging: np.ndarray | None = None
) -> pd.DataFrame:
    """Count the images of each label in each split, one row per label.

    The columns `<split>_error` contain the relative error of the label's rate in the split (see
    `stratification.rate_errors`), among the images that may judge, bool[N]; None: all.

    >>> labels = Labels.named(["Nucleoplasm", "Cytosol"])
    >>> index = pd.DataFrame({"Target": ["0", "0 1"]})
    >>> counts = label_counts(index, labels, pd.DataFrame({"split": ["train", "val"]}))
    >>> print(*counts.loc[1, ["label", "train", "val", "val_error"]])
    Cytosol 0 1 1.0
    """
    y_true = labels.indicators(index["Target"])
    present = [name for name in (*SPLITS, HOLDOUT) if (assignment["split"] == name).any()]
    members = [(assignment["split"] == name).to_numpy() for name in present]
    counts = np.array([y_true[each].sum(axis=0, dtype=int) for each in members])
    counted = [each if judging is None else each & judging for each in members]
    of_counted = np.array([y_true[each].sum(axis=0, dtype=int) for each in counted])
    errors = rate_errors(of_counted, np.array([each.sum() for each in counted]))
    return pd.DataFrame(
        {"label": labels.names}
        | dict(zip(present, counts, strict=True))
        | {f"{name}_error": each for name, each in zip(present, errors.round(4), strict=True)}
    )


def worst_rates(counts: pd.DataFrame) -> dict[str, tuple[str, float]]:
    """Return the label with the largest relative error of its rate, and the error, by split.

    >>> worst_rates(pd.DataFrame({"label": ["Nucleoli", "Cytosol"], "val_error": [0.1, -0.3]}))
    {'val': ('Cytosol', -0.3)}
    """
    errors = counts.set_index("label").filter(like="_error")
    return {
        str(name).removesuffix("_error"): (str(label), float(errors[name][label]))
        for name, label in errors.abs().idxmax().items()
    }


def shortfalls(
    index: pd.DataFrame, labels: Labels, assignment: pd.DataFrame, judging: np.ndarray | None = None
) -> list[str]:
    """Describe the labels missing in test, or in train or val of a fold, one line per split.

    The groups counted are those that may judge, bool[N]; None: all (see `may_judge`).

    >>> labels = Labels.named(["Cytosol", "Rods & rings"])
    >>> index = pd.DataFrame({"Target": ["0", "0", "0 1"]})
    >>> table = pd.DataFrame({"group": [0, 1, 2], "split": ["train", "val", "test"]})
    >>> shortfalls(index, labels, table)[0]
    'no image of train has Rods & rings (groups: 1)'
    """
    y_true = pd.DataFrame(labels.indicators(index["Target"]).astype(bool), columns=labels.names)
    counted = y_true if judging is None else y_true[judging]
    n_groups = counted.groupby(assignment["group"][counted.index].to_numpy()).any().sum()
    sides = {"test": assignment["split"] == "test"}
    n_folds = 1 + assignment["fold"].max() if "fold" in assignment else 1
    for fold in range(n_folds):
        split, which = of_fold(assignment, fold)["split"], f" of fold {fold}" if n_folds > 1 else ""
        sides |= {f"{name}{which}": split == name for name in ("train", "val")}
    return [
        f"no image of {side} has "
        + ", ".join(f"{each} (groups: {n_groups[each]})" for each in names)
        for side, member in sides.items()
        if len(names := y_true.columns[y_true.any() & ~y_true[member.to_numpy()].any()])
    ]


def unequal_shares(
    assignment: pd.DataFrame,
    *,
    test_fraction: float,
    val_fraction: float,
    holdout_fraction: float = 0.0,
    n_folds: int = 1,
) -> list[str]:
    """Describe splits or folds whose size differs from the requested one, one line each.

    A size is reported if it differs by more than a factor of 1.5 and more than one image.
    Arguments are as in `split_images`.

    >>> table = pd.DataFrame({"group": [0] * 8 + [1, 2], "split": ["test"] * 8 + ["val", "train"]})
    >>> unequal_shares(table, test_fraction=0.3, val_fraction=0.1)[0]
    'test has 8 of 10 images instead of 30%: one group holds 80%, and groups stay whole'
    """
    labelled = assignment[assignment["split"] != UNLABELLED]
    rest = 1 - test_fraction - holdout_fraction
    side, requested = labelled["split"], {"test": test_fraction, HOLDOUT: holdout_fraction}
    if n_folds == 1:
        requested |= {"val": val_fraction, "train": rest - val_fraction}
    else:
        side = side.where(labelled["fold"] == NO_FOLD, "fold " + labelled["fold"].astype(str))
        requested |= {f"fold {fold}": rest / n_folds for fold in range(n_folds)}
    largest = labelled["group"].value_counts(normalize=True).max()
    why = "groups stay whole, and each split needs each label"
    if largest > min(filter(None, requested.values())):
        why = f"one group holds {largest:.0%}, and groups stay whole"
    lines = []
    for name, fraction in requested.items():
        n_images, expected = (side == name).sum(), fraction * len(labelled)
        factor = max(n_images, expected) / max(min(n_images, expected), 1e-9)
        if factor > 1.5 and abs(n_images - expected) > 1:
            lines.append(
                f"{name} has {n_images} of {len(labelled)} images instead of {fraction:.0%}: {why}"
            )
    return lines


def _require_views(hashes: pd.Series) -> None:
    """Refuse an index of an earlier version, which cannot show that a copy was turned."""
    n_views = hashes.str.count(" ") + 1
    if (n_views != N_VIEWS).any():
        raise UserError(
            "the packed images cannot be searched for turned and mirrored copies",
            expected=f"the hashes of {N_VIEWS} views per image in index.csv",
            received=f"{n_views.min()} per image: an earlier version of this project packed them",
            remedy="run: dvc repro pack",
        )


def _merged_groups(group: pd.Series, duplicates: np.ndarray) -> np.ndarray:
    """Number the connected components of two groupings of the same images."""
    n_images = len(group)
    stated = pd.factorize(group)[0]
    images = np.arange(n_images)
    left = np.concatenate([images, images])
    right = np.concatenate([n_images + stated, 2 * n_images + duplicates])
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(3 * n_images, 3 * n_images))
    return pd.factorize(connected_components(graph, directed=False)[1][:n_images])[0]


def _assign(
    counts: np.ndarray, n_images: np.ndarray, requested: dict[str, float], n_folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the split of each group, object[G], and its fold, int[G]."""
    split, fold = np.full(len(counts), "train", dtype=object), np.full(len(counts), NO_FOLD)
    left = np.arange(len(counts))
    remaining = 1.0
    favoured = (counts > 0).sum(axis=0) >= len(SPLITS)
    try:
        for name, fraction in requested.items():
            if fraction:
                need = {"test": (2, 1), HOLDOUT: (2, 0), "val": (1, 1)}[name]
                share = fraction / remaining
                taken = divide(counts[left], n_images[left], share, need, favoured, seed) == 1
                split[left[taken]] = name
                left, remaining = left[~taken], remaining - fraction
        if n_folds > 1:
            fold[left] = divide_evenly(counts[left], n_images[left], n_folds, seed)
            split[fold == 0] = "val"
    except ValueError as error:
        raise _too_few(str(error), len(counts)) from error
    for name in (*SPLITS, *([HOLDOUT] if requested[HOLDOUT] else [])):
        if not (split == name).any():
            raise _too_few(f"the {name} split is empty", len(counts))
    return split, fold


def _too_few(wrong: str, n_groups: int) -> UserError:
    return UserError(
        f"the images cannot be split: {wrong}",
        expected="at least one group of images in each split",
        received=f"{n_groups} labelled group(s); duplicates and images of one group count once",
        remedy="bring more images, or change the fractions in params.yaml, section split",
    )
