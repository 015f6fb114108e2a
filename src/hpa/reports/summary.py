"""Summary of an evaluation for the terminal."""

import textwrap

from hpa.errors import first_names
from hpa.evaluation.headline_metrics import f1_name
from hpa.evaluation.report_data import Evaluation
from hpa.reports.html import counted
from hpa.reports.shown_classes import MAX_CLASSES


def headline(evaluation: Evaluation) -> str:
    """Describe what macro F1 is the mean of: `macro F1 over 28 classes, of which 5 have …`."""
    labels, metrics = evaluation.test.labels, evaluation.metrics
    n_present = round(metrics["test/n_present_classes"])
    if len(labels) == 1:
        return f"F1 of {labels.names[0]}{'' if n_present else ', which no test image shows,'}"
    text = f"macro F1 over {len(labels)} classes"
    if n_present == len(labels):
        return text
    if not n_present:
        return f"{text}, of which none has positives in test,"
    have = "1 has" if n_present == 1 else f"{n_present} have"
    value = metrics["test/macro_f1_present_classes"]
    return f"{text}, of which {have} positives in test (over these {value:.3f}),"


def summary(evaluation: Evaluation) -> str:
    """Return the main results in plain text."""
    metrics, flagged = evaluation.metrics, evaluation.flagged
    score, constant = metrics["test/macro_f1"], metrics["test/macro_f1_of_constant"]
    name = f1_name(len(evaluation.test.labels))
    ratio = f" ({name} is {score / constant:.1f} times as high)" if constant > 0 else ""
    interval = f"no interval: {evaluation.too_few}"
    if not evaluation.too_few:
        low, high = metrics["test/macro_f1_low"], metrics["test/macro_f1_high"]
        interval = f"95%: {low:.3f} to {high:.3f}"
    lines = [
        f"{headline(evaluation)} on {counted(len(evaluation.test), 'test image')}: "
        f"{score:.3f} ({interval})",
        f"  best constant prediction: {constant:.3f}{ratio}",
        f"  every threshold at 0.5:   {metrics['test/macro_f1_at_half']:.3f}",
        f"  val, where thresholds were fitted: {metrics['val/macro_f1']:.3f} (optimistic); "
        f"cross-fitted: {metrics['val/macro_f1_cross_fitted']:.3f}",
        f"micro F1: {metrics['test/micro_f1']:.3f}, "
        f"images without a predicted label: {metrics['test/no_label_fraction']:.1%}",
    ]
    if len(flagged):
        several = f"{len(flagged)} of {len(evaluation.classes)} classes have"
        subject = several if len(evaluation.classes) > 1 else "the class has"
        lines.append(f"{subject} quality flags:")
        for note, rows in flagged.groupby("flags", sort=False):
            text = f"{note}: {first_names(list(rows['label']), MAX_CLASSES)}"
            lines.append(textwrap.fill(text, 96, initial_indent="  ", subsequent_indent="      "))
    return "\n".join(lines)
