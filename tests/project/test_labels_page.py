"""Every file and command of docs/labels.md as it stands: from a table to a served page."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.clones import ROOT, make_clone, served_page, shell
from support.worlds import draw_pixels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="no .venv: run make setup"),
]
PAGE = (ROOT / "docs/labels.md").read_text(encoding="utf-8")
LABELS = ["Cytosol", "Mitochondria", "Nucleoli", "Nucleoplasm", "Plasma membrane"]
N_IMAGES = 60


def blocks(kind: str) -> list[str]:
    """Return the page's blocks of a language, "" for plain text."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [block for language, block in fenced if language == kind]


def write_plates(folder: Path) -> None:
    """Extend the page's table to five labels, and draw the files that it names."""
    shown = next(block for block in blocks("") if block.startswith("Id,"))
    rows = list(csv.reader(shown.splitlines()))
    header, examples = rows[0], rows[1:]
    for number in range(len(examples) + 1, N_IMAGES + 1):
        names = {LABELS[number % 5], LABELS[number // 5 % 5]}
        files = [f"img/{number}_{each}.tif" for each in ("dapi", "gfp", "er")]
        examples.append([f"well-{number}", "; ".join(sorted(names)), f"plate {number}", *files])
    (folder / "img").mkdir(parents=True)
    for seed, row in enumerate(examples):
        pixels = draw_pixels(seed, 40, 3)
        for k, name in enumerate(row[-3:]):
            Image.fromarray(np.ascontiguousarray(pixels[..., k])).save(folder / name)
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *examples])


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the page's table and parameters, and a short training."""
    folder = make_clone(tmp_path_factory.mktemp("labels") / "hpa")
    write_plates(folder / "own/plates")
    (parameters,) = blocks("yaml")
    (folder / "own/plates.yaml").write_text(parameters)
    return folder


def run(folder: Path, block: str) -> str:
    done = shell(folder, f"set -e\n{block}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_page_leads_from_a_table_to_a_served_page(clone: Path) -> None:
    apply_and_fetch, train_and_use, serve = blocks("sh")
    said = run(clone, apply_and_fetch)
    assert "5 labels in own/plates/table.csv:" in said
    assert re.search(r"Plasma membrane \(\d+ rows\)", said)
    run(clone, train_and_use)
    with (clone / "predictions.csv").open(encoding="utf-8") as file:
        assert {row["label"] for row in csv.DictReader(file)} == set(LABELS)
    report = (clone / "reports/report.html").read_text(encoding="utf-8")
    assert all(name in report for name in LABELS)
    assert "Golgi apparatus" not in report
    with served_page(clone, serve) as model:
        assert all(name in json.dumps(model) for name in [*LABELS, "DAPI", "GFP", "ER"])


def test_the_page_s_list_of_labels_is_read(clone: Path) -> None:
    listed = next(block for block in blocks("") if block.startswith("number,"))
    (clone / "own/labels/mine.csv").write_text(listed, encoding="utf-8")
    run(clone, blocks("sh")[0].splitlines()[0])
    done = shell(clone, "python src/fetch.py --fetch.labels own/labels/mine.csv")
    assert done.returncode == 2
    for name in ("Mitochondria", "Nucleoplasm"):  # the table has five labels, the list three
        assert re.search(rf"\d+ rows, first lines .*: unknown label '{name}'", done.stderr)
    assert "Plasma" not in done.stderr
