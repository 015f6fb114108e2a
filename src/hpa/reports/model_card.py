"""The model card: what the model is for, on what it was judged, and what not to trust.

Sections follow Mitchell et al., "Model cards for model reporting", FAT* 2019, figure 1, as far as a
run can fill them in by itself. One content, written as Markdown and as a page.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from hpa.evaluation.evaluation import HEADLINES, Evaluation
from hpa.labels import CHANNELS, LABELS
from hpa.reports.html import page, table

TITLE = "Model card"
SOURCES = {
    "synthetic": "simulated images: the numbers say that the system works, not how well it reads "
    "real cells",
    "kaggle": "the competition Human Protein Atlas Image Classification (2018)",
    "hpa": "the public Human Protein Atlas",
    "local": "the user's own files",
}

Provenance = Mapping[str, Any]
Block = str | list[str] | tuple[list[str], list[list[str]]]
"""A paragraph, a list, or a table: its header and its rows."""


def model_card(evaluation: Evaluation, networks: Sequence[Provenance]) -> dict[str, list[Block]]:
    """Return the card: blocks by heading.

    Args:
        evaluation: of the test split.
        networks: the `provenance.json` of each network that judged, one or more; they saw the
            same data and split.
    """
    return {
        "Model": _model(networks),
        "Intended use": _use(),
        "Data": _data(evaluation, networks[0]),
        "How good it is": _numbers(evaluation),
        "Classes not to be trusted": _doubts(evaluation),
        "How to reproduce": _reproduce(evaluation, networks),
    }


def to_markdown(card: Mapping[str, list[Block]]) -> str:
    """Return the card as Markdown."""
    lines = [f"# {TITLE}"]
    for heading, blocks in card.items():
        lines.append(f"## {heading}")
        lines += [_markdown(block) for block in blocks]
    return "\n\n".join(lines) + "\n"


def to_html(card: Mapping[str, list[Block]]) -> str:
    """Return the card as a page that needs no network."""
    sections = (
        f"<section><h2>{html.escape(heading)}</h2>{''.join(map(_html, blocks))}</section>"
        for heading, blocks in card.items()
    )
    return page(TITLE, "".join(sections))


def _model(networks: Sequence[Provenance]) -> list[Block]:
    provenance, n_networks = networks[0], len(networks)
    params = provenance["params"]
    n_steps, batch_size = params["train.n_steps"], params["train.batch_size"]
    return [
        "A convolutional network from four-channel fluorescence microscopy images to 28 "
        "independent probabilities, one a cell structure, with one threshold for each."
        + (f" {n_networks} of them judge together, by their mean logit." * (n_networks > 1)),
        [
            f"channels: {', '.join(provenance['channels'])}",
            f"loss: {params['loss.name']}, {n_steps:,} steps of {batch_size} images",
            f"versions: {', '.join(f'{k} {v}' for k, v in provenance['versions'].items())}",
        ],
    ]


def _use() -> list[Block]:
    return [
        "Research: to suggest in which structures of a cell a stained protein sits, for a person "
        "to check. Several structures at once are the rule.",
        [
            "not for diagnosis, nor for any decision about a patient",
            f"not for images without the stains {', '.join(CHANNELS)} of the training data, nor "
            "for other cell lines, objectives or exposures, unless judged on such images first",
            "no answer beyond the 28 labels: a structure that is none of them is not reported",
        ],
    ]


def _data(evaluation: Evaluation, provenance: Provenance) -> list[Block]:
    test = evaluation.test
    return [
        f"Source: {SOURCES[provenance['params']['fetch.source']]}.",
        [
            f"test: {len(test.ids):,} images in {len(set(test.groups.tolist())):,} groups, "
            "none of which took part in training or any choice",
            f"labels an image in test: {test.y_true.sum(axis=1).mean():.2f}",
            "images with nearly equal perceptual hashes, or of one stated group, are on one side "
            "of the split",
            *(f"{name}: sha256 {digest}" for name, digest in provenance["data"].items()),
            f"test images, labels and groups: sha256 {test.digest()}",
        ],
    ]


def _numbers(evaluation: Evaluation) -> list[Block]:
    metrics = evaluation.metrics
    rows = []
    for name in HEADLINES:
        low, high = (metrics[f"test/{name}_f1_{end}"] for end in ("low", "high"))
        rows.append([f"{name} F1", f"{metrics[f'test/{name}_f1']:.3f}", f"{low:.3f} to {high:.3f}"])
    for key, name in (
        ("test/macro_average_precision", "macro average precision"),
        ("test/macro_roc_auc", "macro ROC AUC"),
        ("test/calibration_error", "calibration error"),
        ("test/empty_fraction", "images without a label"),
        ("test/constant_macro_f1", "macro F1 of the best constant answer"),
    ):
        if key in metrics:
            rows.append([name, f"{metrics[key]:.3f}", ""])
    low_slices = [
        f"{row['kind']} {row['slice']}: sample F1 {row['sample_f1']:.3f} "
        f"({row['low']:.3f} to {row['high']:.3f}) on {row['n_images']:,} images"
        for _, row in evaluation.slices.iterrows()
    ]
    return [
        "On test; intervals hold 95 % of bootstrap draws of whole groups.",
        (["", "value", "interval"], rows),
        "By kind of image (brightness: mean grey level; labels: how many the image has):",
        low_slices,
    ]


def _doubts(evaluation: Evaluation) -> list[Block]:
    doubtful = evaluation.flagged
    blocks: list[Block] = []
    if len(doubtful):
        blocks += [
            f"{len(doubtful)} of {len(LABELS)} classes hold too little evidence (fewer than "
            f"{evaluation.min_support} positives in val or test, or no threshold to be found); "
            "their numbers may be luck:",
            [f"{row['label']}: {row['note']}" for _, row in doubtful.iterrows()],
        ]
    weak = evaluation.classes[
        (evaluation.classes["note"] == "")
        & ~(evaluation.classes["f1_low"] > evaluation.classes["constant_f1"])
    ]
    if len(weak):
        blocks += [
            "With evidence enough, but not surely better than always answering yes:",
            [
                f"{row['label']}: F1 {row['f1']:.3f} ({row['f1_low']:.3f} to {row['f1_high']:.3f})"
                f" against {row['constant_f1']:.3f}"
                for _, row in weak.iterrows()
            ],
        ]
    return blocks or ["None: every class holds evidence enough and beats a constant answer."]


def _reproduce(evaluation: Evaluation, networks: Sequence[Provenance]) -> list[Block]:
    lineage = networks[0]["lineage"]
    commit, dirty = lineage["git.commit"], lineage["git.dirty"]
    changed = ", with changes that were not committed" if dirty == "true" else ""
    return [
        "In a clone of the repository: `git checkout COMMIT`, `make setup`, then `dvc repro`; "
        "`dvc pull` brings the same data and model where a remote holds them.",
        [
            f"commit: {commit}{changed}",
            *(
                f"weights: sha256 {each['weights_sha256']}, training run: {each['run_id']}"
                for each in networks
            ),
            f"run of this judgement: {evaluation.test.run_id or 'none'}",
            *(f"{name}: {value}" for name, value in lineage.items() if name.startswith("dvc.")),
        ],
    ]


def _markdown(block: Block) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, list):
        return "\n".join(f"- {item}" for item in block)
    header, rows = block
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _html(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{html.escape(block)}</p>"
    if isinstance(block, list):
        return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in block)}</ul>"
    return table(*block)
