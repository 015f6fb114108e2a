"""Every command of docs/microscope.md as it stands: from a plate of OME-TIFFs to a served page."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from support.clones import ROOT, make_clone, served_page, shell

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="no .venv: run make setup"),
]
PAGE = (ROOT / "docs/microscope.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(folder: Path, block: str) -> str:
    done = shell(folder, f"set -e\n{block}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_page_leads_from_a_plate_to_a_served_page(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "hpa")
    make, look, fetch, pack, train, predict, serve = COMMANDS
    run(clone, make)
    shown = re.search(r"^```\n(well,label\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert (clone / "own/plate7/plate.csv").read_text().startswith(shown[1])

    said = run(clone, look)
    assert "all can be used" in said
    (lines,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    written, stated = map(yaml.safe_load, ((clone / "own/plate7.yaml").read_text(), lines))
    stated["pack"]["image_size"] = 32  # that of the clone's parameters
    assert written == stated

    assert "288 of 16-bit values" in run(clone, fetch)  # 72 fields, four channels
    run(clone, pack)
    index = pd.read_csv(clone / "data/packed/index.csv", dtype=str)
    assignment = pd.read_csv(clone / "data/split/assignment.csv", dtype=str)
    assert len(index) == 2 * 72
    assert index["group"][index["labelled"] == "True"].nunique() == 20
    wells = assignment.assign(well=assignment["Id"].str.extract(r"_([A-D]\d\d)_")[0])
    assert (wells.groupby("well")["split"].nunique() == 1).all()

    run(clone, train)
    assert "Golgi apparatus" in (clone / "reports/report.html").read_text(encoding="utf-8")
    run(clone, predict)
    with (clone / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["tiles"] for row in rows} == {"2"}
    assert len({row["image"] for row in rows}) == 72

    with served_page(clone, serve) as model:
        assert [each["name"] for each in model["channels"]] == ["DAPI", "GFP", "Tubulin", "ER"]
