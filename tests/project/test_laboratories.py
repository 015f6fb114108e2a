"""Labels and channels of any laboratory, from a table of files to a served page."""

import csv
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.metrics.predictions import Scores
from support.browsers import needs_chromium
from support.paths import ROOT
from support.scripts import environment_of, run_script
from support.workspaces import PIPELINE, write_params

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

ALL_STAGES = """
import runpy, sys
scripts = sys.argv[1:]
for script in scripts:
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")
"""
"""One process for all stages: the libraries take seconds to load."""
N_GROUPS, PER_GROUP, SIZE_PX = 40, 2, 40


@dataclass(frozen=True)
class Laboratory:
    """A laboratory's labels and channels."""

    labels: tuple[str, ...]
    channels: tuple[tuple[str, str, str], ...]

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.channels]

    def label_set(self, number: int) -> list[str]:
        """Return the labels of an image: each occurs, and no image is without one."""
        n_labels = len(self.labels)
        n_each = -(-n_labels // (N_GROUPS // 2))  # each label in several groups
        group = number // PER_GROUP
        return sorted({self.labels[(group * n_each + k) % n_labels] for k in range(n_each)})


GFP, DAPI = ("GFP-1", "protein", "green"), ("DAPI", "nucleus", "blue")
LABORATORIES = {
    "1 label, 1 channel": Laboratory(("Rods <&> rings",), (GFP,)),
    "5 labels, 3 channels": Laboratory(
        ("Axoneme", "Basal body", "Cytosol", "Nucleus 2", "µ-tubule"),
        (DAPI, ("c1", "other", "#ff8000"), GFP),
    ),
    "28 labels, 4 channels": Laboratory(
        tuple(f"Structure {k:02d}" for k in range(28)),
        (GFP, DAPI, ("ER", "other", "yellow"), ("actin", "other", "magenta")),
    ),
    "300 labels, 6 channels": Laboratory(
        tuple(f"GO:{k:07d} part" for k in range(300)),
        (*((f"w{k}", "other", "cyan") for k in range(4)), DAPI, GFP),
    ),
}


def write_table(folder: Path, laboratory: Laboratory) -> Path:
    """Write an image per row, in the channel files that the table names, and return the table."""
    random, rows = np.random.default_rng(0), []
    folder.mkdir()
    for number in range(N_GROUPS * PER_GROUP):
        row = {
            "Id": f"cell {number}",
            "Target": "; ".join(laboratory.label_set(number)) if number > 1 else "",
            "group": f"plate {number // PER_GROUP}",
        }
        for name in laboratory.names:
            row[name] = f"cell {number}_{name}.png"
            pixels = random.integers(0, 40, (SIZE_PX, SIZE_PX), dtype=np.uint8)
            centre = random.integers(0, SIZE_PX, 2).tolist()
            cv2.circle(pixels, centre, 8, int(random.integers(90, 250)), thickness=-1)
            assert cv2.imwrite(str(folder / row[name]), pixels)
        rows.append(row)
    with (folder / "plates.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "plates.csv"


@pytest.fixture(scope="module", params=LABORATORIES)
def laboratory(request: pytest.FixtureRequest) -> Laboratory:
    return LABORATORIES[request.param]


@pytest.fixture(scope="module")
def folder(laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the whole pipeline ran, and the table's folder `own` beside."""
    folder = tmp_path_factory.mktemp("laboratory")
    table = write_table(folder / "own", laboratory)
    keys = ("name", "role", "color")
    write_params(
        folder,
        **{
            "fetch.path": str(table),
            "fetch.labels": "from_table",
            "fetch.channels": [dict(zip(keys, each, strict=True)) for each in laboratory.channels],
            "train.validate_every": 3,
        },
    )
    done = subprocess.run(
        [sys.executable, "-c", ALL_STAGES, *(str(ROOT / f"src/{stage}.py") for stage in PIPELINE)],
        cwd=folder,
        env=environment_of(folder) | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "summary.txt").write_text(done.stdout)
    return folder


def test_every_artifact_names_the_labels(laboratory: Laboratory, folder: Path) -> None:
    labels = list(laboratory.labels)
    scores = Scores.read(folder / "scores/test.npz")
    thresholds = json.loads((folder / "model/thresholds.json").read_text())
    provenance = json.loads((folder / "model/provenance.json").read_text())
    classes = pd.read_csv(folder / "reports/classes.csv")
    assert scores.y_prob.shape[1] == len(labels)
    assert list(scores.labels.names) == labels
    assert list(thresholds["classes"]) == labels
    assert [each["name"] for each in provenance["vocabulary"]["labels"]] == labels
    assert [each["name"] for each in provenance["vocabulary"]["channels"]] == laboratory.names
    assert sorted(classes["label"]) == sorted(labels)
    assert "macro F1" in (folder / "summary.txt").read_text()


@needs_chromium
def test_report_and_card_open(laboratory: Laboratory, folder: Path, browser: "Browser") -> None:
    for name in ("report", "model_card"):
        page = browser.new_page(viewport={"width": 390, "height": 800})
        errors: list[str] = []
        page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
        page.goto((folder / f"reports/{name}.html").as_uri())
        text = page.locator("body").inner_text()
        assert laboratory.labels[0] in text
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert not errors
        page.close()


def test_predict_names_the_laboratory_s_labels(laboratory: Laboratory, folder: Path) -> None:
    done = run_script(folder, "predict", "own", "--output", "predictions.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == set(laboratory.labels)
    assert len(rows) == N_GROUPS * PER_GROUP * len(laboratory.labels)
    present = {(row["image"], row["label"]) for row in rows if row["present"] == "1"}
    test = EvaluatedSplit.read(folder / "reports/test_predictions.npz")
    for image, decided in zip(test.ids, test.y_pred, strict=True):
        named = [(image, label) in present for label in laboratory.labels]
        assert named == decided.astype(bool).tolist()


def test_the_registered_model_is_served_by_channel_names(
    laboratory: Laboratory, folder: Path
) -> None:
    run_id = json.loads((folder / "reports/metrics.json").read_text())["run_id"]
    done = run_script(folder, "promote", run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    record = {
        name: str(folder / "own" / f"cell 5_{name}.png") for name in reversed(laboratory.names)
    }
    code = (
        "import base64, json, sys, pandas, mlflow, mlflow.pyfunc; from pathlib import Path;"
        f"mlflow.set_tracking_uri('sqlite:///{folder}/mlflow.db');"
        "record = json.loads(sys.argv[1]);"
        "coded = {k: base64.b64encode(Path(v).read_bytes()).decode() for k, v in record.items()};"
        "model = mlflow.pyfunc.load_model('models:/hpa@champion');"
        "print('ANSWER' + json.dumps(model.predict(pandas.DataFrame([coded]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(record)],
        cwd=folder,
        env=environment_of(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout.partition("ANSWER")[2])
    assert list(answer["probabilities"]) == list(laboratory.labels)
    assert set(answer["labels"]) <= set(laboratory.labels)


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address of the running page."""
    command = [sys.executable, str(ROOT / "src/app.py"), "--port", "0"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment_of(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stdout)), None)
    assert found is not None
    yield found[0]
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    process.wait(timeout=30)


@needs_chromium
@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_shows_the_laboratory_s_channels_and_labels(
    laboratory: Laboratory, folder: Path, address: str, browser: "Browser", width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    files = [folder / "own" / f"cell 7_{name}.png" for name in laboratory.names]
    page.locator("#one-files").set_input_files(files)
    shown = page.locator("#labels button[data-label]")
    shown.first.wait_for(timeout=60_000)
    if page.locator("#labels-more").is_visible():  # many labels are folded
        page.locator("#labels-more").click()
    assert {each.get_attribute("data-label") for each in shown.all()} == set(laboratory.labels)
    for name in laboratory.names:
        assert page.locator(f'[id="show-{name}"]').count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not errors
    page.close()


def test_the_page_s_server_names_the_vocabulary(laboratory: Laboratory, address: str) -> None:
    with urllib.request.urlopen(f"{address}/api/model", timeout=30) as response:
        model = json.load(response)
    text = json.dumps(model, ensure_ascii=False)
    for name in (*laboratory.names, laboratory.labels[-1]):
        assert json.dumps(name, ensure_ascii=False)[1:-1] in text
