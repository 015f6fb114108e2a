"""Which split each packed image is in, as `hpa.data.splits.splitting` decided."""

from pathlib import Path

import numpy as np
import pandas as pd

from hpa.errors import UserError

SPLITS = ("train", "val", "test")
HOLDOUT = "holdout"
"""A fourth split on demand that no stage reads: for one last look, years later."""
UNLABELLED = "unlabelled"
NO_FOLD = -1


def read_assignment(split_dir: Path, fold: int = 0) -> pd.DataFrame:
    """Read `assignment.csv`: `Id`, `group`, `split`, maybe `fold`, in the order of packed rows.

    Args:
        split_dir: what the split stage wrote.
        fold: which fold is `val`, counted from 0; the others are `train`.

    Raises:
        UserError: there is none.
    """
    path = split_dir / "assignment.csv"
    try:
        assignment = pd.read_csv(path, dtype={"Id": str}, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{split_dir} holds no split",
            expected="assignment.csv, as split writes it",
            received=str(error),
            remedy="run: dvc repro split",
        ) from error
    return of_fold(assignment, fold)


def of_fold(assignment: pd.DataFrame, fold: int) -> pd.DataFrame:
    """Let another fold be `val`; without folds, and outside them, nothing changes."""
    if "fold" not in assignment:
        return assignment
    rest = np.where(assignment["fold"] == NO_FOLD, assignment["split"], "train")
    return assignment.assign(split=np.where(assignment["fold"] == fold, "val", rest))
