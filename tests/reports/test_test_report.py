"""Test report and model card."""

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from hpa.evaluation.class_table import WEAK
from hpa.evaluation.report_data import Evaluation
from hpa.metrics.origins import Origin
from hpa.reports.gallery import GalleryImage, write_gallery
from hpa.reports.grad_cam_gallery import draw_example
from hpa.reports.model_card import card_page, model_card
from hpa.reports.run_facts import run_facts
from hpa.reports.summary import summary
from hpa.reports.test_report import report_page
from hpa.thresholds.shown import ShownScale
from hpa.vocabulary import hpa2018
from support.evaluations import FACTS, PROVENANCE, small_evaluation

LABELS = hpa2018.LABELS.names

HOSTILE = """<script>alert('1')</script>"""


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return small_evaluation()


@pytest.fixture(scope="module")
def gallery_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "gallery"
    picture = draw_example(
        np.full((32, 32, 4), 9, np.uint8), np.ones((1, 1), np.float32), hpa2018.CHANNELS
    )
    example = GalleryImage(7, "false negative", HOSTILE, (7,), (), 0.2, 0.5, "one.jpg")
    write_gallery(folder, [(example, picture)], note="Small maps.")
    return folder


def test_the_report_is_self_contained(evaluation: Evaluation, gallery_dir: Path) -> None:
    text = report_page(evaluation, gallery_dir, FACTS, hpa2018.CHANNELS)
    addresses = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    outside = re.sub(r"data:image/[^\"]*", "", text)
    assert "http" not in outside
    assert "url(" not in outside
    for picture in map(unquote, re.findall(r"data:image/svg\+xml,([^\"]*)", text)):
        assert set(re.findall(r'href="(.)', picture)) <= {"#", "d"}  # "data:"


def test_the_report_has_headline_classes_and_pictures(
    evaluation: Evaluation, gallery_dir: Path
) -> None:
    text = report_page(evaluation, gallery_dir, FACTS, hpa2018.CHANNELS)
    metrics = evaluation.metrics
    assert f'<div class="headline">{metrics["test/macro_f1"]:.3f} ' in text
    assert f"{metrics['test/macro_f1_low']:.3f} to {metrics['test/macro_f1_high']:.3f}" in text
    rows = re.search(r"<tbody>(.*?)</tbody>", text, re.DOTALL)
    assert rows is not None
    assert rows[1].count("<tr") == len(LABELS)
    assert "&lt;script&gt;alert(&#39;1&#39;)" in text
    assert HOSTILE not in text
    shown = re.sub(r"data:image/[^\"]*|<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "nan" not in shown.lower()


def test_an_empty_gallery_has_no_section(evaluation: Evaluation, tmp_path: Path) -> None:
    write_gallery(tmp_path / "gallery", [], note="")
    assert "Example images" not in report_page(
        evaluation, tmp_path / "gallery", FACTS, hpa2018.CHANNELS
    )


def test_the_card_has_data_flags_and_origin_in_both_forms(evaluation: Evaluation) -> None:
    card = model_card(evaluation, [PROVENANCE], FACTS)
    for text in (card, card_page(card)):
        for part in ("simulated images", "deadbeef", "uncommitted", "run7", "Intended use"):
            assert part in text
    assert "\n- Rods & rings: val: no positives; test: no positives\n" in card
    assert "epochs" not in card  # unknown to the provenance of an earlier version
    assert "images, 5.3 epochs\n" in model_card(
        evaluation, [PROVENANCE | {"n_epochs": 5.26}], FACTS
    )
    assert "<li>Rods &amp; rings: val: no positives; test: no positives</li>" in card_page(card)
    low, high = (evaluation.metrics[f"test/macro_f1_{end}"] for end in ("low", "high"))
    assert f"| {low:.3f} to {high:.3f} |" in card
    assert card_page(card).count("<table>") == 1


def test_the_card_names_the_model_that_the_training_started_from(evaluation: Evaluation) -> None:
    start = {
        "source": "models:/hpa@champion",
        "run_id": "0ld",
        "weights_sha256": "cafe",
        "taken": "backbone; 4 of 4 channels; 5 of 28 head rows",
    }
    card = model_card(evaluation, [PROVENANCE | {"started_from": start}], FACTS)
    assert (
        "- started from: `models:/hpa@champion`, run `0ld`, weights sha256 `cafe`; taken over: "
        "backbone; 4 of 4 channels; 5 of 28 head rows\n"
    ) in card
    assert "started from" not in model_card(evaluation, [PROVENANCE], FACTS)
    pretrained = {"params": {"model.weights": "imagenet"}}
    assert "started from: `imagenet`" in model_card(evaluation, [PROVENANCE | pretrained], FACTS)


def test_card_and_class_flags_distrust_the_same_labels(evaluation: Evaluation) -> None:
    classes = evaluation.classes.copy()
    classes.loc[0, ["note", "flags"]] = "", WEAK
    card = model_card(replace(evaluation, classes=classes), [PROVENANCE], FACTS)
    listed = set(re.findall(r"^- (.*?): (?:val|test|F1)\b", card, re.MULTILINE))
    assert listed == set(classes["label"][classes["flags"] != ""])
    assert classes["label"][0] in listed
    assert "every class has enough evidence" not in card
    trusted = replace(evaluation, classes=classes.assign(note="", flags=""))
    assert "None: every class has enough evidence" in model_card(trusted, [PROVENANCE], FACTS)


def test_a_macro_f1_without_interval_has_its_reason_everywhere(
    evaluation: Evaluation, gallery_dir: Path
) -> None:
    test = replace(evaluation.test, groups=np.zeros(60, int))
    ends = ("test/macro_f1_low", "test/macro_f1_high")
    metrics = {key: value for key, value in evaluation.metrics.items() if key not in ends}
    classes = evaluation.classes.assign(f1_low=np.nan, f1_high=np.nan)
    slices = evaluation.slices.assign(low=np.nan, high=np.nan)
    single = replace(evaluation, test=test, metrics=metrics, classes=classes, slices=slices)
    texts = [
        report_page(single, gallery_dir, FACTS, hpa2018.CHANNELS),
        model_card(single, [PROVENANCE], FACTS),
        summary(single),
    ]
    for text in texts:
        assert "all images belong to one group" in text
        shown = re.sub(r"data:image/[^\"]*|<script>.*?</script>", "", text, flags=re.DOTALL)
        assert not re.search(r"\bnan\b", shown)


def test_the_card_states_the_calibration_with_its_evidence_or_its_absence(
    evaluation: Evaluation,
) -> None:
    for shown_scale, sentence in (
        (ShownScale(2.5, 0.12, 0.003, 0.24, 0.15), "calibration error from 0.1200 to 0.0030"),
        (ShownScale(1.0, 0.01, 0.02, 0.2, 0.2), "did not improve both calibration error (0.0100"),
        (ShownScale(), "no calibration was tried"),
    ):
        thresholds = replace(evaluation.thresholds, shown_scale=shown_scale)
        assert sentence in model_card(
            replace(evaluation, thresholds=thresholds), [PROVENANCE], FACTS
        )


def test_values_cannot_change_the_markup_of_the_card(evaluation: Evaluation) -> None:
    card = model_card(evaluation, [PROVENANCE], FACTS)
    assert r"keras 3 \<b\>\*\|\_x\_" in card
    assert "keras 3 &lt;b&gt;*|_x_</li>" in card_page(card)


def test_a_card_of_several_networks_names_each(evaluation: Evaluation) -> None:
    other = {**PROVENANCE, "run_id": "def"}
    card = model_card(evaluation, [PROVENANCE, other], FACTS)
    assert "an ensemble of 2 networks, whose predictions are combined" in card
    assert "training run: `abc`\n" in card
    assert "training run: `def`\n" in card


def test_the_pages_of_a_model_of_an_earlier_version_say_what_is_unknown(
    evaluation: Evaluation, gallery_dir: Path
) -> None:
    facts = run_facts([{"run_id": "abc"}], Origin(), {}, {}, run_id="run7")
    report = report_page(evaluation, gallery_dir, facts, hpa2018.CHANNELS)
    assert "The rounds of the training are unknown" in report
    card = model_card(evaluation, [{"run_id": "abc"}], facts)
    assert "Trained: unknown" in card
    assert "commit: `unknown`" in card
    for label in ("Data", "Trained", "Code", "Network", "Thresholds"):
        assert f"<dt>{label}</dt><dd>unknown</dd>" in report


def test_the_pages_list_parameters_that_differ_and_escape_them(
    evaluation: Evaluation, gallery_dir: Path
) -> None:
    facts = replace(FACTS, changed=[("fetch.path", HOSTILE + "|_x_", "raw")], unchanged="")
    report = report_page(evaluation, gallery_dir, facts, hpa2018.CHANNELS)
    assert "1 differ from the committed params.yaml" in report
    assert HOSTILE not in report
    page = card_page(model_card(evaluation, [PROVENANCE], facts))
    assert "&lt;script&gt;" in page
    assert "<script" not in page  # the card is shown where no script may run
    assert re.search(r"<td[^>]*>.*\|_x_</td>", page)


def test_a_model_that_predicts_nothing_has_a_report(
    evaluation: Evaluation, gallery_dir: Path
) -> None:
    empty = replace(evaluation.test, y_pred=np.zeros_like(evaluation.test.y_pred))
    classes = evaluation.classes.assign(predicted=0, f1=0.0, f1_low=0.0, f1_high=0.0)
    none = evaluation.confusions.head(0)
    text = report_page(
        replace(evaluation, test=empty, classes=classes, confusions=none),
        gallery_dir,
        FACTS,
        hpa2018.CHANNELS,
    )
    assert "<p>None.</p>" in text
    assert "heat map of false positives" in text


def test_the_same_inputs_give_the_same_bytes(evaluation: Evaluation, gallery_dir: Path) -> None:
    page = report_page(evaluation, gallery_dir, FACTS, hpa2018.CHANNELS)
    assert page == report_page(small_evaluation(), gallery_dir, FACTS, hpa2018.CHANNELS)
    assert FACTS.entries[0][1] in page


def test_every_class_has_its_interval_in_numbers(evaluation: Evaluation, gallery_dir: Path) -> None:
    text = report_page(evaluation, gallery_dir, FACTS, hpa2018.CHANNELS)
    *others, absent = evaluation.classes.to_dict("records")
    for row in others:
        assert f"<span>{row['f1_low']:.2f}–{row['f1_high']:.2f}</span>" in text
    assert np.isnan(absent["f1_low"])  # no image carries it
    assert "<span>none</span>" in text
    assert "nan–" not in text


def test_a_long_list_of_labels_is_cut(evaluation: Evaluation, tmp_path: Path) -> None:
    picture = draw_example(
        np.full((32, 32, 4), 9, np.uint8), np.ones((1, 1), np.float32), hpa2018.CHANNELS
    )
    every = tuple(range(len(LABELS)))
    example = GalleryImage(7, "false positive", "x", (), every, 0.2, 0.5, "one.jpg")
    write_gallery(tmp_path / "gallery", [(example, picture)], note="")
    text = report_page(evaluation, tmp_path / "gallery", FACTS, hpa2018.CHANNELS)
    assert "predicted: Nucleoplasm, " in text
    assert "Golgi apparatus and 20 more" in text
    assert "true: none" in text
