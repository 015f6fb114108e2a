"""Model card: purpose, data, results, quality flags and origin of a model.

The sections follow Mitchell et al., "Model cards for model reporting", FAT* 2019, figure 1, as far
as a run can fill them in. The text is in templates/model_card.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markdown_it import MarkdownIt

from hpa.evaluation.headline_metrics import HEADLINES
from hpa.evaluation.report_data import Evaluation
from hpa.labels import CHANNELS, LABELS
from hpa.reports.html import records, render

SOURCES = {
    "synthetic": "simulated images, so the results show that the system works, not how well it "
    "reads real cells",
    "kaggle": "the competition Human Protein Atlas Image Classification (2018)",
    "hpa": "the public Human Protein Atlas",
    "local": "the user's own files",
}


def model_card(evaluation: Evaluation, networks: Sequence[Mapping[str, Any]]) -> str:
    """Return the card as Markdown.

    `networks` are `provenance.json` of each network behind the predictions, one or more; all were
    trained on the same data and split.
    """
    provenance, classes = networks[0], evaluation.classes
    has_evidence = classes["note"] == ""
    return render(
        "model_card.md",
        evaluation=evaluation,
        metrics=evaluation.metrics,
        test=evaluation.test,
        n_groups=len(set(evaluation.test.groups.tolist())),
        flagged=records(classes[~has_evidence]),
        weak=records(classes[has_evidence & (classes["flags"] != "")]),
        networks=networks,
        provenance=provenance,
        params=provenance["params"],
        source=SOURCES[provenance["params"]["fetch.source"]],
        HEADLINES=HEADLINES,
        CHANNELS=CHANNELS,
        LABELS=LABELS,
    )


def card_page(markdown: str) -> str:
    """Return the card as an HTML page; HTML inside the Markdown is shown as text."""
    title, _, body = markdown.partition("\n")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return render("model_card.html", title=title.strip("# "), body=parser.render(body))
