"""Comparison of two evaluated runs as text and JSON."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hpa.evaluation.headline_metrics import f1_name
from hpa.evaluation.paired_bootstrap import PairedComparison
from hpa.evaluation.test_predictions import FILE_NAME, EvaluatedSplit


def find_predictions(run: str) -> EvaluatedSplit:
    """Read the test predictions of a run: an MLflow run id, a folder, or the file itself.

    Raises:
        UserError: there is no such run, folder or file, or it has no test predictions.
    """
    path = Path(run)
    if path.exists():
        files = (path, path / FILE_NAME, path / "reports" / FILE_NAME)
        return EvaluatedSplit.read(next((each for each in files if each.is_file()), files[1]))
    from hpa.tracking.stage_run import download_artifact  # takes seconds, and files do not need it

    with TemporaryDirectory(prefix="hpa-compare-") as folder:
        return EvaluatedSplit.read(download_artifact(run, f"reports/{FILE_NAME}", Path(folder)))


def as_text(comparison: PairedComparison, name_a: str, name_b: str) -> str:
    """Return the comparison for the terminal: the headline, then one row per class."""
    judgement = f"no interval: {comparison.too_few}"
    if not comparison.too_few:
        low, high = comparison.interval
        judgement = f"95% interval {low:+.3f} to {high:+.3f}; "
        judgement += f"probability that B is better: {comparison.better:.3f}"
    names, differences = comparison.labels.names, comparison.class_f1[1] - comparison.class_f1[0]
    width, score = max(30, *(len(each) + 1 for each in names)), f1_name(len(names))
    lines = [
        f"A {name_a}: {score} {comparison.macro_f1[0]:.3f}",
        f"B {name_b}: {score} {comparison.macro_f1[1]:.3f}",
        f"B minus A: {comparison.difference:+.3f}, {judgement}",
        f"on the same {comparison.n_images:,} test images, "
        f"resampled in {comparison.n_groups:,} groups",
        "",
        f"{'':{width}}{'images':>7}{'A':>8}{'B':>8}{'B - A':>9}{'95% interval':>20}{'P(B)':>7}",
    ]
    for index in np.argsort(-np.abs(differences), kind="stable"):
        a, b = comparison.class_f1[:, index]
        low, high = comparison.class_interval[:, index]
        known = not np.isnan(low)
        interval = f"{low:+.3f} to {high:+.3f}" if known else "one group"
        if not comparison.support[index]:
            interval = "no positives"
        better = f"{comparison.class_better[index]:.2f}" if known else ""
        lines.append(
            f"{names[index]:{width}}{comparison.support[index]:7,}{a:8.3f}{b:8.3f}"
            f"{differences[index]:+9.3f}{interval:>20}{better:>7}"
        )
    return "\n".join(lines)


def as_json(comparison: PairedComparison, a: EvaluatedSplit, b: EvaluatedSplit) -> dict[str, Any]:
    """Return the comparison for a JSON file; null for a class without positives."""
    classes = {
        label: {
            "support": int(comparison.support[index]),
            "f1": comparison.class_f1[:, index].tolist(),
            "interval": [_or_none(end) for end in comparison.class_interval[:, index]],
            "probability_b_better": _or_none(comparison.class_better[index]),
        }
        for index, label in enumerate(comparison.labels.names)
    }
    return {
        "runs": [a.run_id, b.run_id],
        "data_sha256": a.digest(),
        "n_images": comparison.n_images,
        "n_groups": comparison.n_groups,
        "macro_f1": list(comparison.macro_f1),
        "difference": comparison.difference,
        "interval": [_or_none(end) for end in comparison.interval],
        "probability_b_better": _or_none(comparison.better),
        "no_interval_because": comparison.too_few or None,
        "classes": classes,
    }


def _or_none(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
