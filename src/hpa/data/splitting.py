"""Who learns, who chooses, who judges: no picture and no group on two sides.

Labels are balanced by iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the
stratification of multi-label data", ECML 2011; package iterative-stratification), which is
given one row a group, so that a group moves as one.
"""

from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hpa.data.duplicates import duplicate_groups
from hpa.errors import UserError
from hpa.files import atomic_path
from hpa.labels import LABELS, indicator_matrix

SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"


def split_images(
    index: pd.DataFrame,
    *,
    test_fraction: float,
    val_fraction: float,
    n_folds: int,
    fold: int,
    hash_distance: int,
    seed: int,
) -> pd.DataFrame:
    """Assign each packed image to a split.

    The test split depends on neither `n_folds` nor `fold`: every fold is judged by the same
    images.

    Args:
        index: the packed index: `Id`, `Target`, `group`, `labelled`, `hash`.
        test_fraction: share of the groups that judge.
        val_fraction: share that chooses, where `n_folds` is 1; else the shares are equal folds
            of what the test split leaves.
        n_folds, fold: how many folds, and which of them is `val`.
        hash_distance: bits (of 256) in which the same picture's hashes may differ.
        seed: of the stratification.

    Returns:
        `Id`, `group` (a number; images that share it are never apart), `split` (`train`, `val`,
        `test`, or `unlabelled`), in the order of `index`.

    Raises:
        UserError: there are too few groups for three splits.
    """
    group = _merged_groups(index["group"], duplicate_groups(list(index["hash"]), hash_distance))
    labelled = index["labelled"].to_numpy(bool)
    names, member = np.unique(group[labelled], return_inverse=True)
    y_group = np.zeros((len(names), len(LABELS)), dtype=int)
    np.maximum.at(y_group, member, indicator_matrix(index["Target"][labelled]))

    halves = MultilabelStratifiedShuffleSplit(1, test_size=test_fraction, random_state=seed)
    rest, test = _divide(halves, y_group, np.arange(len(names)))
    if n_folds == 1:
        share = val_fraction / (1 - test_fraction)
        halves = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=seed)
        train, val = _divide(halves, y_group, rest)
    else:
        folds = MultilabelStratifiedKFold(n_folds, shuffle=True, random_state=seed)
        train, val = _divide(folds, y_group, rest, fold)

    split_of_group = np.empty(len(names), dtype=object)
    for name, members in zip(SPLITS, (train, val, test), strict=True):
        if not len(members):
            raise _too_few(f"the {name} split is empty", len(names))
        split_of_group[members] = name
    split = np.full(len(index), UNLABELLED, dtype=object)
    split[labelled] = split_of_group[member]
    return pd.DataFrame({"Id": index["Id"], "group": group, "split": split})


def write_split(split_dir: Path, index: pd.DataFrame, assignment: pd.DataFrame) -> pd.DataFrame:
    """Write `assignment.csv` and `label_counts.csv`, both or neither; returns the counts."""
    counts = label_counts(index, assignment)
    with atomic_path(split_dir) as folder:
        folder.mkdir()
        assignment.to_csv(folder / "assignment.csv", index=False)
        counts.to_csv(folder / "label_counts.csv", index=False)
    return counts


def read_assignment(split_dir: Path) -> pd.DataFrame:
    """Read `assignment.csv`: `Id`, `group`, `split`, in the order of the packed rows."""
    return pd.read_csv(split_dir / "assignment.csv", dtype={"Id": str}, keep_default_na=False)


def label_counts(index: pd.DataFrame, assignment: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each label in each split, one row a label."""
    y_true = indicator_matrix(index["Target"])
    counts = {
        split: y_true[(assignment["split"] == split).to_numpy()].sum(axis=0, dtype=int)
        for split in SPLITS
    }
    return pd.DataFrame({"label": LABELS, **counts})


def _merged_groups(group: pd.Series, duplicates: np.ndarray) -> np.ndarray:
    """Number the groups that arise when two kinds of groups that share an image become one."""
    n_images = len(group)
    stated = pd.factorize(group)[0]
    images = np.arange(n_images)
    left = np.concatenate([images, images])
    right = np.concatenate([n_images + stated, 2 * n_images + duplicates])
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(3 * n_images, 3 * n_images))
    return pd.factorize(connected_components(graph, directed=False)[1][:n_images])[0]


def _divide(
    splitter: MultilabelStratifiedShuffleSplit | MultilabelStratifiedKFold,
    y_group: np.ndarray,
    members: np.ndarray,
    nth: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Divide group numbers in two, as the splitter's division number `nth` does."""
    try:
        kept, taken = next(islice(splitter.split(members, y_group[members]), nth, None))
    except ValueError as error:
        raise _too_few(str(error), len(y_group)) from error
    return members[kept], members[taken]


def _too_few(wrong: str, n_groups: int) -> UserError:
    return UserError(
        f"the images cannot be split: {wrong}",
        expected="at least one group of images in each of train, val and test",
        received=f"{n_groups} labelled group(s); duplicates and images of one group count once",
        remedy="bring more images, or change the fractions in params.yaml, section split",
    )
