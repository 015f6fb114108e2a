"""Compare the split of the real table with the library's split without groups.

    python benchmarks/split.py train.csv        half a minute; needs nothing else

Every twentieth image is made a near copy of another one, so that groups exist. Prints over five
seeds: seconds, the label-rate errors of val and test at 15 % each (mean over labels, and worst),
missing labels and duplicates in two splits; the same for the shuffle split of package
iterative-stratification, which ignores groups; and the ratio of the errors. The worst error is a
rounding error: 11 images of the rarest label times 15 % are 1.65, so 2.
"""

import argparse
import hashlib
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
from hpa.data.splits.duplicates import duplicate_groups
from hpa.data.splits.splitting import N_VIEWS, split_images
from hpa.data.splits.stratification import rate_errors
from hpa.vocabulary.hpa2018 import LABELS

SHARE, HASH_DISTANCE = 0.15, 6


def main() -> None:
    """Print the errors of both splits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train_csv", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    index = with_copies(pd.read_csv(arguments.train_csv))
    y_true = LABELS.indicators(index["Target"])
    picture = duplicate_groups(list(index["hash"]), HASH_DISTANCE)
    print(f"{len(index)} images, {len(set(picture))} pictures")
    means = {}
    for name, divide in (("this project", ours), ("the library", theirs)):
        started = time.process_time()
        splits = [divide(index, y_true, seed) for seed in range(arguments.seeds)]
        seconds = (time.process_time() - started) / len(splits)
        errors, missing = measure(y_true, splits)
        torn = sum(int((pd.Series(each).groupby(picture).nunique() > 1).sum()) for each in splits)
        means[name] = errors.mean()
        print(
            f"{name:13s} {seconds:.2f} s; label-rate error mean {errors.mean():.4f}, worst "
            f"{errors.max():.4f} (mean of the worst {errors.max(axis=-1).mean():.4f}); "
            f"{missing} labels missing; {torn / len(splits):.0f} pictures in two splits"
        )
    print(f"ratio of the mean errors: {means['this project'] / means['the library']:.3f}")


def with_copies(table: pd.DataFrame) -> pd.DataFrame:
    """Give each image its own hash, and every twentieth one a hash one bit from another's."""
    hashes = [hashlib.sha256(image_id.encode()).hexdigest() for image_id in table["Id"]]
    for row in range(0, len(hashes), 20):
        hashes[row] = f"{int(hashes[(7 * row + 1) % len(hashes)], 16) ^ 1:064x}"
    views = [" ".join([each] * N_VIEWS) for each in hashes]  # as many as pack writes
    return table.assign(group=table["Id"], labelled=True, hash=views)


def ours(index: pd.DataFrame, _: np.ndarray, seed: int) -> np.ndarray:
    """Split as the stage does, with duplicates as groups."""
    assignment = split_images(
        index,
        LABELS,
        test_fraction=SHARE,
        val_fraction=SHARE,
        n_folds=1,
        hash_distance=HASH_DISTANCE,
        seed=seed,
    )
    return assignment["split"].to_numpy(str)


def theirs(_: pd.DataFrame, y_true: np.ndarray, seed: int) -> np.ndarray:
    """Split single images by the library alone: first test, then val from the remainder."""
    split = np.full(len(y_true), "train", dtype="U5")
    left = np.arange(len(y_true))
    for name, share in (("test", SHARE), ("val", SHARE / (1 - SHARE))):
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=seed)
        kept, taken = next(splitter.split(left, y_true[left]))
        split[left[taken]] = name
        left = left[kept]
    return split


def measure(y_true: np.ndarray, splits: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """Return |relative error| of rates in val and test, float[splits,2,28], and missing labels."""
    errors, missing = [], 0
    for split in splits:
        members = [split == name for name in ("val", "test", "train")]
        counts = np.array([y_true[each].sum(axis=0, dtype=int) for each in members])
        errors.append(np.abs(rate_errors(counts, np.array([each.sum() for each in members]))[:2]))
        missing += int((counts == 0).sum())
    return np.array(errors), missing


if __name__ == "__main__":
    main()
