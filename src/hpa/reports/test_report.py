"""reports/report.html: the whole judgement on one page that needs neither network nor server."""

import html
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.evaluation.evaluation import Evaluation
from hpa.labels import LABELS
from hpa.metrics.curves import precision_recall
from hpa.metrics.ranking import rank_scores
from hpa.reports.charts import curve, empty_curve, interval_bar, reliability_curve, threshold_bar
from hpa.reports.grad_cam_gallery import GalleryImage, read_gallery
from hpa.reports.html import SORT, inline_image, page, section, table

RULES = {
    "in force": "in force",
    "fixed": "every threshold 0.5",
    "global": "one threshold for all, the best",
    "sweep": "the best of each class (naive)",
}
METHODS = {
    "none": "as the network says",
    "temperature": "temperature (one scale)",
    "platt": "Platt (a line a class)",
}


def report_page(evaluation: Evaluation, gallery_dir: Path, *, title: str) -> str:
    """Return the page; pictures come from `gallery_dir`, as the explain stage wrote them."""
    sections = [
        _classes(evaluation),
        _curves(evaluation),
        _rules(evaluation),
        _calibration(evaluation),
        _confusions(evaluation),
        _slices(evaluation),
        _empty(evaluation),
        _gallery(evaluation, gallery_dir),
    ]
    return page(title, _headline(evaluation) + "".join(sections), script=SORT)


def _headline(evaluation: Evaluation) -> str:
    metrics = evaluation.metrics
    low, high = metrics["test/macro_f1_low"], metrics["test/macro_f1_high"]
    n_groups = len(np.unique(evaluation.test.groups))
    cards = [
        (f"{metrics[key]:.3f}", name + _range(metrics, key))
        for key, name in (
            ("test/micro_f1", "micro F1"),
            ("test/weighted_f1", "weighted F1"),
            ("test/sample_f1", "sample F1"),
            ("test/macro_average_precision", "macro average precision"),
            ("test/macro_roc_auc", "macro ROC AUC"),
            ("test/constant_macro_f1", "macro F1 of the best constant answer"),
        )
        if key in metrics
    ]
    doubtful = evaluation.flagged
    trusted = metrics.get("test/macro_f1_trusted_classes")
    doubt = (
        f"<p><b>{len(doubtful)} of {len(evaluation.classes)} classes hold too little evidence</b> "
        f"(fewer than {evaluation.min_support} positives in val or test, or no threshold): "
        f"{html.escape(', '.join(doubtful['label']))}."
        + (f" Macro F1 over the others: {trusted:.3f}." if trusted is not None else "")
        + "</p>"
        if len(doubtful)
        else "<p>Every class holds enough evidence in val and test.</p>"
    )
    run = f" · run <code>{html.escape(evaluation.test.run_id)}</code>" * bool(
        evaluation.test.run_id
    )
    return (
        f'<div class="headline">{metrics["test/macro_f1"]:.3f} <small>macro F1 on '
        f"{len(evaluation.test.ids):,} test images · 95 % interval {low:.3f} to {high:.3f}"
        f"</small></div>"
        f"<p>The interval is the percentile bootstrap over {n_groups:,} groups of images. The test "
        f"images took part in no choice{run}.</p>"
        '<div class="cards">'
        + "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in cards)
        + f"</div>{doubt}"
    )


def _range(metrics: dict[str, float], key: str) -> str:
    if f"{key}_low" not in metrics:
        return ""
    return f", {metrics[f'{key}_low']:.3f} to {metrics[f'{key}_high']:.3f}"


def _classes(evaluation: Evaluation) -> str:
    columns = ("class", "images", "F1", "95 % interval", "precision", "recall", "average precision",
               "threshold", "its range", "val images", "val F1", "doubts")  # fmt: skip
    head = "".join(
        f"<th{' class=text' if name in ('class', 'doubts') else ''}><button>{name}</button></th>"
        for name in columns
    )
    body = "".join(_class_row(row) for _, row in evaluation.classes.iterrows())
    note = (
        "Click a heading to sort. The range of a threshold holds 95 % of the best thresholds in "
        "200 draws of the validation images: where it is wide, the threshold is luck. Val F1 is "
        "cross-fitted."
    )
    content = (
        f'<div class=wide><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    return section("Class by class", note, content)


def _class_row(row: pd.Series) -> str:
    doubtful = row["note"] != ""
    bar = interval_bar(row["f1"], row["f1_low"], row["f1_high"], doubtful=doubtful)
    cut = threshold_bar(
        row["threshold"], row["threshold_low"], row["threshold_high"], doubtful=doubtful
    )
    cells = [
        f"<td class=text>{html.escape(row['label'])}</td>",
        _number(row["support"], ",.0f"),
        _number(row["f1"], ".3f"),
        f'<td data-value="{_plain(row["f1_high"] - row["f1_low"])}">{bar}</td>',
        *(_number(row[key], ".2f") for key in ("precision", "recall", "average_precision")),
        _number(row["threshold"], ".3f"),
        f'<td data-value="{_plain(row["threshold_high"] - row["threshold_low"])}">{cut}</td>',
        _number(row["val_support"], ",.0f"),
        _number(row["val_f1_cross_fitted"], ".2f"),
        f'<td class="text note">{html.escape(row["note"])}</td>',
    ]
    return f"<tr{' class=doubtful' if doubtful else ''}>{''.join(cells)}</tr>"


def _number(value: float, form: str) -> str:
    text = "" if np.isnan(value) else format(value, form)
    return f'<td data-value="{_plain(value)}">{text}</td>'


def _plain(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"


def _curves(evaluation: Evaluation) -> str:
    ranking = rank_scores(evaluation.test.y_true, evaluation.test.y_prob)
    panels = []
    for index, (_, row) in enumerate(evaluation.classes.iterrows()):
        doubtful = row["note"] != ""
        if row["support"] == 0:
            drawing = empty_curve("no positives")
        else:
            point = (row["recall"], row["precision"]) if row["predicted"] else None
            drawing = curve(*precision_recall(ranking, index), point, doubtful=doubtful)
        caption = f"{html.escape(row['label'])}<br>F1 {row['f1']:.2f} · n {row['support']:,}"
        panels.append(f"<figure><figcaption>{caption}</figcaption>{drawing}</figure>")
    note = (
        "Precision (up) against recall (right) on test, both from 0 to 1; the dot is the chosen "
        "threshold. Grey: too little evidence. No dot: never predicted."
    )
    return section("Precision and recall", note, f'<div class="curves">{"".join(panels)}</div>')


def _rules(evaluation: Evaluation) -> str:
    rows = [
        [RULES.get(row["rule"], row["rule"])]
        + [f"{row[key]:.3f}" for key in ("fit", "cross_fitted", "test")]
        + [f"{row[key]:+.3f}" for key in ("optimism_fit", "optimism_cross_fitted")]
        for _, row in evaluation.rules.iterrows()
    ]
    header = ["macro F1 by rule", "val, fitted there", "val, cross-fitted", "test",
              "optimism of fitted", "of cross-fitted"]  # fmt: skip
    note = (
        "Thresholds are chosen on val. What they reach there is optimistic, for they were fitted "
        "to it; cross-fitted, each image is judged by thresholds that never saw it. Optimism is "
        "what is lost on test. The plain rules stand beside, as a measure of the one in force."
    )
    return section("Thresholds and their optimism", note, table(header, rows))


def _calibration(evaluation: Evaluation) -> str:
    rows = [
        [METHODS[row["method"]]]
        + [
            f"{row[f'{split}_{key}']:.4f}"
            for split in ("val", "test")
            for key in ("error", "class_error", "log_loss")
        ]
        for _, row in evaluation.calibration.iterrows()
    ]
    header = ["probabilities", "val: error", "error by class", "log loss",
              "test: error", "error by class", "log loss"]  # fmt: skip
    panels = "".join(
        f"<figure><figcaption>{METHODS[str(method)]}</figcaption>"
        + reliability_curve(*(bins[key].to_numpy() for key in ("predicted", "observed", "n")))
        + "</figure>"
        for method, bins in evaluation.reliability.groupby("method", sort=False)
    )
    best = str(evaluation.calibration.sort_values("val_log_loss")["method"].iloc[0])
    note = (
        "Of all decisions given a probability of .8, are eight in ten true? Up: the share that is; "
        "right: the probability; on the dashed line they agree. The error is the mean distance "
        "from it (ten bins). Calibrations are fitted on val (its figures cross-fitted) and change "
        f"neither ranking nor decisions here. By val, the best is: {METHODS[best]}."
    )
    return section(
        "Calibration", note, f'<div class="curves large">{panels}</div>{table(header, rows)}'
    )


def _confusions(evaluation: Evaluation) -> str:
    rows = [
        [row["missed"], row["invented"], f"{row['n']:,}", f"{100 * row['share']:.0f} %"]
        for _, row in evaluation.confusions.head(15).iterrows()
    ]
    note = (
        "Images that carry the first label and were not given it, but were given the second and do "
        "not carry it. The share is of all test images with the first label. An image with "
        "several mistakes counts for each pair of them."
    )
    header = ["missed", "invented instead", "images", "share"]
    content = table(header, rows, n_text=2) if rows else "<p>None.</p>"
    return section("Commonest confusions", note, content)


def _slices(evaluation: Evaluation) -> str:
    titles = {"brightness": "mean grey level (quarters)", "labels": "labels an image truly has"}
    content = ""
    for kind, group in evaluation.slices.groupby("kind", sort=False):
        rows = [
            [
                row["slice"],
                f"{row['n_images']:,}",
                f"{row['sample_f1']:.3f}",
                f"{row['low']:.3f} to {row['high']:.3f}",
                f"{row['micro_f1']:.3f}",
                f"{row['n_predicted']:.2f}",
                f"{100 * row['empty']:.0f} %",
            ]
            for _, row in group.iterrows()
        ]
        header = [titles[str(kind)], "images", "sample F1", "95 % interval", "micro F1",
                  "labels predicted", "without any"]  # fmt: skip
        content += table(header, rows)
    note = (
        "Sample F1: the F1 of each image's label set, averaged. Macro F1 would say little here, "
        "as most slices lack most classes."
    )
    return section("Kinds of images", note, content)


def _empty(evaluation: Evaluation) -> str:
    rows = [
        [
            row["split"],
            row["empty"],
            f"{row['n_empty']:,} ({100 * row['share']:.1f} %)",
            f"{row['macro_f1']:.3f}",
            f"{row['sample_f1']:.3f}",
        ]
        for _, row in evaluation.empty.iterrows()
    ]
    header = ["split", "rows without a label", "so many", "macro F1", "sample F1"]
    note = (
        "An image for which no label reaches its threshold. evaluate.fill_empty gives it the "
        "likeliest; choose by val, which is what test is then judged by."
    )
    return section("Images left without a label", note, table(header, rows, n_text=2))


def _gallery(evaluation: Evaluation, gallery_dir: Path) -> str:
    note, examples = read_gallery(gallery_dir)
    if not examples:
        return ""
    blocks = []
    for label in dict.fromkeys(example.label for example in examples):
        tiles = "".join(_tile(each, gallery_dir) for each in examples if each.label == label)
        blocks.append(
            f'<div class="group"><h3>{html.escape(LABELS[label])}</h3>'
            f'<div class="pictures">{tiles}</div></div>'
        )
    text = (
        "Test images drawn at random among those where the label was found, missed or invented. "
        "Left: all channels in pseudo-colour (red microtubules, green protein, blue nucleus, "
        "yellow endoplasmic reticulum); middle: the protein alone; right: where the network saw "
        f"the label (Grad-CAM, each picture scaled to its own maximum). {note}"
    )
    return section("Right and wrong images", text, "".join(blocks))


def _tile(example: GalleryImage, gallery_dir: Path) -> str:
    truth, predicted = (
        ", ".join(LABELS[label] for label in labels) or "none"
        for labels in (example.truth, example.predicted)
    )
    caption = (
        f'<b class="{example.kind}">{example.kind}</b> with {example.probability:.2f} '
        f"(threshold {example.threshold:.2f}) · {html.escape(example.image_id)}<br>"
        f"truth: {html.escape(truth)}<br>predicted: {html.escape(predicted)}"
    )
    picture = inline_image(
        (gallery_dir / example.file).read_bytes(),
        f"{LABELS[example.label]}, {example.kind}",
        kind="jpeg",
    )
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
