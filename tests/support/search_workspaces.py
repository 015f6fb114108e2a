"""Workspaces for studies: the tiny world, packed and split, and small parameters."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from hpa.config.params import Params, load_params
from hpa.data.packed.packed_images import read_index
from hpa.data.splits.splitting import write_split
from support.paths import ROOT

SMALL = {
    "train.n_steps": 4,
    "train.validate_every": 2,
    "train.batch_size": 4,
    "evaluate.n_bootstrap": 100,
    "search.n_trials": 4,
    "search.n_startup_trials": 2,
    "search.trial_steps": 4,
    "search.trial_rounds": 2,
    "search.n_seeds": 2,
}


def make_workspace(folder: Path, packed_dir: Path) -> Path:
    """Prepare data/packed and data/split: 16 images for train, 16 for val, the rest for test."""
    index = read_index(packed_dir)
    split = np.repeat(["train", "val", "test"], [16, 16, len(index) - 32])
    split[~index["labelled"]] = "unlabelled"
    assignment = pd.DataFrame({"Id": index["Id"], "group": index.index, "split": split})
    (folder / "data").mkdir(parents=True)
    (folder / "data/packed").symlink_to(packed_dir)
    write_split(folder / "data/split", index, assignment)
    write_params(folder)
    return folder


def write_params(folder: Path, **more: Any) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in (SMALL | more).items():
        section, _, name = key.partition(".")
        document[section][name] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(document))


def small_params(**more: Any) -> Params:
    return load_params(ROOT / "params.yaml", {**SMALL, **more})
