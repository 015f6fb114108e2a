"""Which split each packed image is in, as `hpa.data.splitting` decided."""

from pathlib import Path

import pandas as pd

SPLITS = ("train", "val", "test")
HOLDOUT = "holdout"
"""A fourth split on demand that no stage reads: for one last look, years later."""
UNLABELLED = "unlabelled"


def read_assignment(split_dir: Path) -> pd.DataFrame:
    """Read `assignment.csv`: `Id`, `group`, `split`, in the order of the packed rows."""
    return pd.read_csv(split_dir / "assignment.csv", dtype={"Id": str}, keep_default_na=False)
