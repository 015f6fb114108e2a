"""Summary of an evaluation for the terminal."""

import textwrap

from hpa.evaluation.report_data import Evaluation


def summary(evaluation: Evaluation) -> str:
    """Return the main results in plain text."""
    metrics, flagged = evaluation.metrics, evaluation.flagged
    score, constant = metrics["test/macro_f1"], metrics["test/macro_f1_of_constant"]
    ratio = f" (macro F1 is {score / constant:.1f} times as high)" if constant > 0 else ""
    interval = f"no interval: {evaluation.too_few}"
    if not evaluation.too_few:
        low, high = metrics["test/macro_f1_low"], metrics["test/macro_f1_high"]
        interval = f"95%: {low:.3f} to {high:.3f}"
    lines = [
        f"macro F1 on {len(evaluation.test.ids):,} test images: {score:.3f} ({interval})",
        f"  best constant prediction: {constant:.3f}{ratio}",
        f"  every threshold at 0.5:   {metrics['test/macro_f1_at_half']:.3f}",
        f"  val, where thresholds were fitted: {metrics['val/macro_f1']:.3f} (optimistic); "
        f"cross-fitted: {metrics['val/macro_f1_cross_fitted']:.3f}",
        f"micro F1: {metrics['test/micro_f1']:.3f}, "
        f"images without a predicted label: {metrics['test/no_label_fraction']:.1%}",
    ]
    if len(flagged):
        lines.append(f"{len(flagged)} of {len(evaluation.classes)} classes have quality flags:")
        for note, rows in flagged.groupby("flags", sort=False):
            text = f"{note}: {', '.join(rows['label'])}"
            lines.append(textwrap.fill(text, 96, initial_indent="  ", subsequent_indent="      "))
    return "\n".join(lines)
