"""Code that decides the outputs of stages: their dependencies in dvc.yaml, without the scripts."""

from pathlib import Path

import yaml

from hpa.system.files import SOURCE_DIR


def stage_code(*stages: str) -> list[Path]:
    """Return the files and rooms of the package that decide the outputs of these stages.

    An edit elsewhere, of a report or a tracking message, say, keeps checkpoints and studies valid.
    """
    root = SOURCE_DIR.parent
    known = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    deps = {str(dep) for stage in stages for dep in known[stage]["deps"]}
    return sorted(root / dep for dep in deps if dep.startswith("src/hpa/"))
