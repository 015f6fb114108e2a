"""Report and model card: whole, offline, and saying what the numbers say."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.config.params import Evaluate
from hpa.evaluation.evaluation import Evaluation, evaluate_splits
from hpa.labels import CHANNELS, LABELS
from hpa.metrics.predictions import Scores
from hpa.reports.grad_cam_gallery import GalleryImage, draw_example, write_gallery
from hpa.reports.model_card import model_card, to_html, to_markdown
from hpa.reports.test_report import report_page
from hpa.thresholds.fitting import fit_by_rule

PROVENANCE = {
    "run_id": "abc",
    "weights_sha256": "0" * 64,
    "params": {
        "loss.name": "focal", "train.n_steps": 3, "train.batch_size": 8,
        "fetch.source": "synthetic",
    },
    "data": {"data/split/assignment.csv": "1" * 64},
    "lineage": {"git.commit": "deadbeef", "git.dirty": "true", "dvc.data/raw": "md5"},
    "versions": {"keras": "3"},
    "channels": list(CHANNELS),
}  # fmt: skip


def scores(name: str, seed: int) -> Scores:
    random = np.random.default_rng(seed)
    y_true = (random.random((60, 28)) < np.linspace(0.5, 0.1, 28)).astype(np.uint8)
    y_true[:, -1] = 0
    y_prob = (0.3 * y_true + 0.7 * random.random(y_true.shape)).astype(np.float32)
    return Scores(np.array([f"{name}-{row}" for row in range(60)]), y_true, y_prob)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    val, test = scores("val", 1), scores("test", 2)
    ids = np.concatenate([val.ids, test.ids])
    facts = pd.DataFrame({"group": range(120), "brightness": np.arange(120) * 1.0}, index=ids)
    settings = Evaluate(min_support=10, n_bootstrap=100, fill_empty=False, seed=3)
    thresholds = fit_by_rule("sweep", val.labelled(), val.y_prob, fixed=0.5, seed=0)
    return evaluate_splits(val, test, thresholds, facts, settings, run_id="run7")


@pytest.fixture(scope="module")
def gallery_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "gallery"
    picture = draw_example(np.full((32, 32, 4), 9, np.uint8), np.ones((1, 1), np.float32))
    example = GalleryImage(7, "missed", "<i>7</i>", (7,), (), 0.2, 0.5, "one.jpg")
    write_gallery(folder, [(example, picture)], note="Small maps.")
    return folder


def test_the_report_refers_to_nothing_outside_itself(
    evaluation: Evaluation, gallery_dir: Path
) -> None:
    text = report_page(evaluation, gallery_dir, title="T")
    addresses = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert addresses
    assert all(address.startswith("data:image/") for address in addresses)
    assert "http" not in text
    assert "url(" not in text


def test_the_report_says_headline_classes_and_pictures(
    evaluation: Evaluation, gallery_dir: Path
) -> None:
    text = report_page(evaluation, gallery_dir, title="T")
    metrics = evaluation.metrics
    assert f'<div class="headline">{metrics["test/macro_f1"]:.3f} ' in text
    assert f"{metrics['test/macro_f1_low']:.3f} to {metrics['test/macro_f1_high']:.3f}" in text
    rows = re.search(r"<tbody>(.*?)</tbody>", text, re.DOTALL)
    assert rows is not None
    assert rows[1].count("<tr") == len(LABELS)
    assert "&lt;i&gt;7&lt;/i&gt;" in text  # a name is text, whatever it holds
    assert "<i>7</i>" not in text
    shown = re.sub(r"base64,[^\"]*|<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "nan" not in shown.lower()


def test_an_empty_gallery_leaves_its_section_out(evaluation: Evaluation, tmp_path: Path) -> None:
    write_gallery(tmp_path / "gallery", [], note="")
    assert "Right and wrong" not in report_page(evaluation, tmp_path / "gallery", title="T")


def test_the_card_says_data_doubts_and_origin_in_both_forms(evaluation: Evaluation) -> None:
    card = model_card(evaluation, [PROVENANCE])
    for text in (to_markdown(card), to_html(card)):
        for said in ("simulated images", "deadbeef, with changes", "run7", "Intended use"):
            assert said in text
    assert "- Rods & rings: val: no positives; test: no positives" in to_markdown(card)
    low, high = (evaluation.metrics[f"test/macro_f1_{end}"] for end in ("low", "high"))
    assert f"| {low:.3f} to {high:.3f} |" in to_markdown(card)
