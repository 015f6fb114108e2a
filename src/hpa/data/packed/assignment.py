"""Assignment of the packed images to splits, as `hpa.data.splits.splitting` writes it."""

from pathlib import Path

import numpy as np
import pandas as pd

from hpa.errors import UserError

SPLITS = ("train", "val", "test")
HOLDOUT = "holdout"
"""An optional fourth split, which is scored alone: for promotion, or a final evaluation."""
UNLABELLED = "unlabelled"
NO_FOLD = -1


def read_assignment(split_dir: Path, fold: int = 0) -> pd.DataFrame:
    r"""Read `assignment.csv`: `Id`, `group`, `split`, optionally `fold`, one row per packed image.

    Args:
        split_dir: the output of the split stage.
        fold: the fold that is `val`, counted from 0; the others are `train`.

    Raises:
        UserError: the file does not exist.

    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "assignment.csv").write_text("Id,group,split\na,0,train\nb,1,val\n")
    >>> read_assignment(folder)["split"].tolist()
    ['train', 'val']
    """
    path = split_dir / "assignment.csv"
    try:
        assignment = pd.read_csv(path, dtype={"Id": str}, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{split_dir} contains no split",
            expected="assignment.csv, as split writes it",
            received=str(error),
            remedy="run: dvc repro split",
        ) from error
    return of_fold(assignment, fold)


def of_fold(assignment: pd.DataFrame, fold: int) -> pd.DataFrame:
    """Make another fold `val`; images outside the folds keep their split.

    >>> table = pd.DataFrame({"split": ["val", "train", "test"], "fold": [0, 1, -1]})
    >>> of_fold(table, 1)["split"].tolist()
    ['train', 'val', 'test']
    """
    if "fold" not in assignment:
        return assignment
    rest = np.where(assignment["fold"] == NO_FOLD, assignment["split"], "train")
    return assignment.assign(split=np.where(assignment["fold"] == fold, "val", rest))
