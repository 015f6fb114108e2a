"""Model card: purpose, data, results, quality flags and origin of a model.

The sections follow Mitchell et al., "Model cards for model reporting", FAT* 2019, figure 1, as far
as a run can fill them in. The text is in templates/model_card.md.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt

from hpa.data.packed.vocabulary import vocabulary_of
from hpa.evaluation.headline_metrics import HEADLINES
from hpa.evaluation.report_data import Evaluation
from hpa.reports.html import records, render
from hpa.reports.run_facts import RunFacts
from hpa.reports.shown_classes import MAX_CLASSES
from hpa.reports.summary import headline


def model_card(
    evaluation: Evaluation, networks: Sequence[Mapping[str, Any]], facts: RunFacts
) -> str:
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
        params=provenance.get("params", {}),
        facts=facts,
        HEADLINES=HEADLINES,
        labels=evaluation.test.labels.labels,
        channels=vocabulary_of(provenance).channels.channels,
        headline=headline(evaluation),
        MAX_CLASSES=MAX_CLASSES,
    )


def card_page(markdown: str) -> str:
    """Return the card as an HTML page; HTML inside the Markdown is shown as text."""
    title, _, body = markdown.partition("\n")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(body)
    sections = {}
    for opening, heading in pairwise(tokens):
        if opening.type == "heading_open":
            name = heading.content.lower().replace(" ", "-")
            opening.attrSet("id", name)
            sections[heading.content] = name
    return render(
        "model_card.html",
        title=title.strip("# "),
        sections=sections,
        body=parser.renderer.render(tokens, parser.options, {}),
    )
