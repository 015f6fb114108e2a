"""Two plates of one's own and simulated cells as one set, through the whole pipeline."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from support.paths import ROOT
from support.scripts import run_script
from support.worlds import IDS, NEAR_COPIES, draw_pixels, target, write_csv, write_image

pytestmark = pytest.mark.slow
SMALL = {
    "fetch": {
        "source": "several",
        "path": "own/plates",
        "sources": [
            {"name": "first", "source": "local", "path": "own/plates/first"},
            {"name": "second", "source": "local", "path": "own/plates/second"},
            {"name": "simulated", "source": "synthetic", "n_images": 30, "n_unlabelled": 0},
        ],
        "image_size": 64,
    },
    "pack": {"image_size": 32},
    "split": {"test_fraction": 0.2, "val_fraction": 0.2, "train_only": "simulated second"},
    "train": {"n_steps": 3, "validate_every": 2, "batch_size": 8},
    "threshold": {"rule": "fixed", "fixed": 0.5},
    "evaluate": {"n_bootstrap": 100},
}


def write_plates(folder: Path) -> None:
    """Write 40 images with equal Ids on two plates; copies of the first plate are on the second."""
    for name in ("first", "second"):
        plate = folder / "own/plates" / name
        for number, image_id in enumerate(IDS[:40]):
            is_copy = name == "first" or number in NEAR_COPIES
            write_image(plate / "train", image_id, draw_pixels(number if is_copy else 100 + number))
        write_csv(plate / "train.csv", ("Id", "Target"), [(IDS[n], target(n)) for n in range(40)])


def test_two_plates_and_simulated_cells_are_trained_on_and_one_plate_judges(tmp_path: Path) -> None:
    write_plates(tmp_path)
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in SMALL.items():
        document[section] |= values
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    for stage in ("fetch", "pack", "split", "train", "score", "threshold", "explain", "evaluate"):
        done = run_script(tmp_path, stage)
        assert done.returncode == 0, done.stderr
        if stage == "split":
            assert (
                "70 images of simulated, second only train, and 3 of other sources" in done.stdout
            )
    index = pd.read_csv(tmp_path / "data/packed/index.csv", dtype=str).set_index("Id")
    split = pd.read_csv(tmp_path / "data/split/assignment.csv").set_index("Id")["split"]
    assert index["source"].value_counts().to_dict() == {"first": 40, "second": 40, "simulated": 30}
    assert set(split[index["source"] != "first"]) == {"train"}
    copies = [f"first_{IDS[number]}" for number in NEAR_COPIES]
    assert set(split[copies]) == {"train"}  # the second plate has the same pictures
    assert set(split[index["source"] == "first"]) == {"train", "val", "test"}
    report = (tmp_path / "reports/report.html").read_text()
    assert "several sources: first (your own files); second (your own files); simulated" in report
    provenance = json.loads((tmp_path / "model/provenance.json").read_text())
    assert [each["name"] for each in provenance["params"]["fetch.sources"]] == [
        "first", "second", "simulated",
    ]  # fmt: skip
    assert provenance["params"]["split.train_only"] == "simulated second"
    done = run_script(tmp_path, "predict", "own/plates/first", "--output", "answers.csv")
    assert done.returncode == 0, done.stderr
