"""A small evaluation with what its pages need."""

import numpy as np
import pandas as pd

from hpa.config.sections import Evaluate
from hpa.evaluation.report_data import Evaluation, evaluate_splits
from hpa.metrics.origins import Origin
from hpa.metrics.predictions import Scores
from hpa.reports.run_facts import run_facts
from hpa.thresholds.fitting import fit_by_rule
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Label, Labels

PROVENANCE = {
    "run_id": "abc",
    "weights_sha256": "0" * 64,
    "params": {
        "loss.name": "focal", "train.n_steps": 3, "train.batch_size": 8,
        "fetch.source": "synthetic",
    },
    "data": {"data/split/assignment.csv": "1" * 64},
    "lineage": {"git.commit": "deadbeef", "git.dirty": "true", "dvc.data/raw": "md5"},
    "versions": {"keras": "3 <b>*|_x_"},
    "channels": list(hpa2018.CHANNELS.names),
}  # fmt: skip

HISTORY = {
    "step": [2, 3],
    "train/loss": [0.4, 0.3],
    "val/loss": [0.2, 0.1],
    "val/macro_f1": [0.5, 0.6],
}
FACTS = run_facts(
    [PROVENANCE | {"history": HISTORY}],
    Origin(thresholds_sha256="2" * 64),
    {"fetch.source": "synthetic"},
    {"fetch.source": "synthetic"},
    run_id="run7",
)


def labels_of(n: int) -> Labels:
    """Return labels with numbers 3, 5, 7, …, and colours and descriptions of some."""
    return Labels(
        tuple(
            Label(
                3 + 2 * column,
                f"Structure {column}",
                f"what stain {column} shows" if column % 3 == 0 else "",
                "#aa3377" if column % 2 == 0 else "",
            )
            for column in range(n)
        )
    )


def scores(name: str, seed: int, labels: Labels = hpa2018.LABELS) -> Scores:
    random, n = np.random.default_rng(seed), len(labels)
    y_true = (random.random((60, n)) < np.linspace(0.5, 0.1, n)).astype(np.uint8)
    y_true[:, 1:][:, -1:] = 0
    y_prob = (0.3 * y_true + 0.7 * random.random(y_true.shape)).astype(np.float32)
    return Scores(np.array([f"{name}-{row}" for row in range(60)]), y_true, y_prob, labels)


def small_evaluation(labels: Labels = hpa2018.LABELS) -> Evaluation:
    """Evaluate 60 images; no image carries the last of several labels."""
    val, test = scores("val", 1, labels), scores("test", 2, labels)
    ids = np.concatenate([val.ids, test.ids])
    facts = pd.DataFrame({"group": range(120), "brightness": np.arange(120) * 1.0}, index=ids)
    settings = Evaluate(min_support=10, n_bootstrap=100, seed=3, image_side_um=None)
    thresholds = fit_by_rule("sweep", val.labelled(), val.y_prob, val.labels, fixed=0.5, seed=0)
    return evaluate_splits(val, test, thresholds, facts, settings, run_id="run7")
