"""Workspaces in which the stages run on a tiny world, by the repository's own parameters."""

import shutil
from pathlib import Path

import yaml

from support.paths import ROOT

SMALL = {
    "fetch.source": "local",
    "pack.image_size": 32,
    "split.test_fraction": 0.2,  # of 37 groups: with less, a split may stay empty
    "split.val_fraction": 0.2,
    "train.n_steps": 3,
    "train.validate_every": 2,
    "train.batch_size": 8,
    "evaluate.n_bootstrap": 100,
}
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def write_params(folder: Path, **more: object) -> None:
    """Write the repository's params.yaml with the small values in it."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in (SMALL | more).items():
        section, _, name = key.partition(".")
        document[section][name] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(document))


def copy_workspace(source: Path, folder: Path) -> Path:
    """Copy a workspace with its store of runs; the data, which no test changes, as links."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("data"), dirs_exist_ok=True)
    (folder / "data").mkdir()
    for name in ("raw", "packed", "split"):
        (folder / "data" / name).symlink_to(source / "data" / name)
    return folder


def declared_inputs(stage: str, folder: Path) -> list[str]:
    """List the dependencies of a stage in dvc.yaml, without code, as the parameters name them."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    own = {"${fetch.path}": params["fetch"]["path"], "${score.models}": params["score"]["models"]}
    deps = [own.get(dep, dep) for dep in PIPELINE[stage]["deps"]]
    return [dep for dep in deps if not dep.startswith("src/") and dep != "requirements.lock"]


def bring_declared(stage: str, source: Path, folder: Path) -> Path:
    """Copy what a stage declares, and nothing else, into an empty folder."""
    folder.mkdir(exist_ok=True)
    shutil.copy(source / "params.yaml", folder)
    for dep in declared_inputs(stage, source):
        target = folder / dep
        if Path(dep).is_absolute():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / dep).is_dir():
            shutil.copytree(source / dep, target)
        else:
            shutil.copy(source / dep, target)
    return folder
