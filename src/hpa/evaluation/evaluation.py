"""How good the model is: headline metrics with intervals, a table of classes, and doubts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.config.params import Evaluate
from hpa.data.packed import read_index
from hpa.data.splits.assignment import read_assignment
from hpa.errors import UserError
from hpa.evaluation.error_analysis import confusions, empty_rows, slices
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.evaluation.threshold_stability import threshold_spread
from hpa.labels import CHANNELS, LABELS
from hpa.metrics import calibration
from hpa.metrics.bootstrap import Replicates, bootstrap_f1, percentile_interval
from hpa.metrics.counts import Counts, count_outcomes
from hpa.metrics.curves import average_precision, roc_auc
from hpa.metrics.f1 import (
    best_constant_prediction,
    f1,
    f1_by_row,
    macro_f1,
    micro_f1,
    precision,
    recall,
    weighted_f1,
)
from hpa.metrics.predictions import Scores
from hpa.thresholds.decisions import decide
from hpa.thresholds.fitting import PlainRule, Thresholds

HEADLINES = ("macro", "micro", "weighted", "sample")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the reports are made of.

    Attributes:
        metrics: `<split>/<metric>` to number; `val/…` is the fit set of thresholds, optimistic.
        classes: one row a label, in the competition's order; see `class_table`.
        test: truth and decisions that were judged.
        thresholds: the cuts they were judged with.
        rules: the rule in force and the plain ones: macro F1 fit, cross-fitted and on test.
        calibration: error and loss of each way to calibrate, on val (cross-fitted) and on test.
        reliability: the bins of test: `method`, `predicted`, `observed`, `n`.
        confusions, slices, empty: see `hpa.evaluation.error_analysis`.
        min_support: positives below which a class is doubtful.
    """

    metrics: dict[str, float]
    classes: pd.DataFrame
    test: EvaluatedSplit
    thresholds: Thresholds
    rules: pd.DataFrame
    calibration: pd.DataFrame
    reliability: pd.DataFrame
    confusions: pd.DataFrame
    slices: pd.DataFrame
    empty: pd.DataFrame
    min_support: int

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table under the name of its file."""
        names = (
            "classes", "rules", "calibration", "reliability", "confusions", "slices", "empty",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        as_is = self.reliability["method"] == "none"  # dvc plots draws one line a revision
        return {**found, "reliability": self.reliability[as_is]}

    @property
    def flagged(self) -> pd.DataFrame:
        """The rows of `classes` that hold too little evidence, or a threshold without any."""
        return self.classes[self.classes["note"] != ""]


def image_facts(packed_dir: Path, split_dir: Path) -> pd.DataFrame:
    """Return `group` (integer) and `brightness` (grey level in [0,255]) of each image by its Id."""
    index = read_index(packed_dir).set_index("Id")
    assignment = read_assignment(split_dir).set_index("Id")
    means = index[[f"{channel}_mean" for channel in CHANNELS]]
    facts = pd.DataFrame({"brightness": 255 * means.mean(axis=1)})
    return facts.join(assignment["group"], how="inner")


def evaluate_splits(
    val: Scores,
    test: Scores,
    thresholds: Thresholds,
    facts: pd.DataFrame,
    settings: Evaluate,
    *,
    run_id: str = "",
) -> Evaluation:
    """Judge thresholds fitted on `val` by `test`, beside the best constant chosen on `val`.

    Args:
        val, test: scores with labels.
        thresholds: fitted on `val`.
        facts: `group` and `brightness` by Id, of at least these images.
        settings: section evaluate of params.yaml.
        run_id: of the run that judges.

    Raises:
        UserError: a split has no labels, the splits share images or come from two runs, or an
            image has no group.
    """
    val_true, test_true = val.labelled("val"), test.labelled("test")
    _check_splits(val, test)
    val_groups, test_groups = _groups(val.ids, facts), _groups(test.ids, facts)
    val_pred = decide(thresholds, val.y_prob, fill_empty=settings.fill_empty)
    test_pred = decide(thresholds, test.y_prob, fill_empty=settings.fill_empty)
    judged = EvaluatedSplit(test.ids, test_groups, test_true, test.y_prob, test_pred, run_id)
    drawn = bootstrap_f1(
        test_true, test_pred, test_groups, seed=settings.seed, n=settings.n_bootstrap
    )
    classes = class_table(val_true, val_pred, judged, thresholds, drawn, settings.min_support)
    spread = threshold_spread(val_true, val.y_prob, val_groups, seed=settings.seed)
    classes["threshold_low"], classes["threshold_high"] = spread
    ways = _calibrations(val, test, val_groups, settings.seed)
    metrics = _metrics(judged, val_true, val_pred, thresholds, drawn, classes)
    return Evaluation(
        metrics=metrics,
        classes=classes,
        test=judged,
        thresholds=thresholds,
        rules=_rules(val, test, thresholds),
        calibration=ways[0],
        reliability=ways[1],
        confusions=confusions(test_true, test_pred),
        slices=slices(
            judged,
            facts.loc[test.ids, "brightness"].to_numpy(),
            seed=settings.seed,
            n=settings.n_bootstrap,
        ),
        empty=pd.DataFrame(
            row
            for name, scores in (("val", val), ("test", test))
            for row in empty_rows(
                name, scores.labelled(name), thresholds.predict(scores.y_prob), scores.y_prob
            )
        ),
        min_support=settings.min_support,
    )


def class_table(
    val_true: np.ndarray,
    val_pred: np.ndarray,
    judged: EvaluatedSplit,
    thresholds: Thresholds,
    drawn: Replicates,
    min_support: int,
) -> pd.DataFrame:
    """Return one row a label: test numbers, then what the threshold was fitted on, then doubts.

    `note` is "" where both splits hold evidence enough; ratios are 0.0 where they are 0/0, areas
    and intervals NaN where there is nothing to compute them from.
    """
    val_counts = count_outcomes(val_true, val_pred)
    test_counts = count_outcomes(judged.y_true, judged.y_pred)
    supports = zip(val_counts.support, test_counts.support, strict=True)
    intervals = [percentile_interval(column) for column in drawn.by_class.T]
    intervals = [
        each if n else (np.nan, np.nan)
        for each, n in zip(intervals, test_counts.support, strict=True)
    ]
    return pd.DataFrame(
        {
            "label": LABELS,
            "support": test_counts.support,
            "predicted": test_counts.predicted,
            "precision": precision(test_counts),
            "recall": recall(test_counts),
            "f1": f1(test_counts),
            "f1_low": [low for low, _ in intervals],
            "f1_high": [high for _, high in intervals],
            "average_precision": average_precision(judged.y_true, judged.y_prob),
            "roc_auc": roc_auc(judged.y_true, judged.y_prob),
            "constant_f1": f1(_constant_counts(val_true, judged.y_true)),
            "threshold": thresholds.values,
            "rule": thresholds.rule,
            "val_support": val_counts.support,
            "val_f1": f1(val_counts),
            "val_f1_cross_fitted": thresholds.cross_fitted_f1,
            "note": [
                _note(flags, *pair, min_support)
                for flags, pair in zip(thresholds.flags, supports, strict=True)
            ],
        }
    )


def _metrics(
    judged: EvaluatedSplit,
    val_true: np.ndarray,
    val_pred: np.ndarray,
    thresholds: Thresholds,
    drawn: Replicates,
    classes: pd.DataFrame,
) -> dict[str, float]:
    """Return the numbers for metrics.json and MLflow; one that is undefined is left out."""
    counts = count_outcomes(judged.y_true, judged.y_pred)
    val_counts = count_outcomes(val_true, val_pred)
    half = count_outcomes(judged.y_true, (judged.y_prob >= 0.5).astype(np.uint8))
    trusted = classes[classes["note"] == ""]
    bins = calibration.reliability(judged.y_true, judged.y_prob)
    metrics = {
        "test/macro_f1": macro_f1(counts),
        "test/micro_f1": micro_f1(counts),
        "test/weighted_f1": weighted_f1(counts),
        "test/sample_f1": float(f1_by_row(judged.y_true, judged.y_pred).mean()),
        "test/macro_precision": float(precision(counts).mean()),
        "test/macro_recall": float(recall(counts).mean()),
        "test/macro_average_precision": float(classes["average_precision"].mean()),
        "test/macro_roc_auc": float(classes["roc_auc"].mean()),
        "test/macro_f1_at_half": macro_f1(half),
        "test/macro_f1_trusted_classes": float(trusted["f1"].mean()),
        "test/constant_macro_f1": macro_f1(_constant_counts(val_true, judged.y_true)),
        "test/empty_fraction": float((~judged.y_pred.any(axis=1)).mean()),
        "test/calibration_error": bins.error,
        "test/log_loss": calibration.log_loss(judged.y_true, judged.y_prob),
        "test/n_doubtful_classes": float(len(classes) - len(trusted)),
        "val/macro_f1": macro_f1(val_counts),
        "val/macro_f1_cross_fitted": thresholds.cross_fitted_macro_f1,
        "val/micro_f1": micro_f1(val_counts),
    }
    for name in HEADLINES:
        low, high = percentile_interval(getattr(drawn, name))
        metrics |= {f"test/{name}_f1_low": low, f"test/{name}_f1_high": high}
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _rules(val: Scores, test: Scores, thresholds: Thresholds) -> pd.DataFrame:
    """Return macro F1 of each rule on its fit rows, cross-fitted and on test; none is filled."""
    chosen: dict[str, Thresholds | PlainRule] = {"in force": thresholds, **thresholds.plain}
    rows = [
        {
            "rule": name,
            "fit": each.fit_macro_f1,
            "cross_fitted": each.cross_fitted_macro_f1,
            "test": macro_f1(count_outcomes(test.labelled("test"), each.predict(test.y_prob))),
        }
        for name, each in chosen.items()
    ]
    table = pd.DataFrame(rows)
    table["optimism_fit"] = table["fit"] - table["test"]
    table["optimism_cross_fitted"] = table["cross_fitted"] - table["test"]
    return table


def _calibrations(
    val: Scores, test: Scores, val_groups: np.ndarray, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return error and loss of each way to calibrate, and the reliability of each on test."""
    val_true, test_true = val.labelled("val"), test.labelled("test")
    rows, bins = [], []
    for method in calibration.METHODS:
        crossed = calibration.cross_fitted(val_true, val.y_prob, val_groups, method, seed=seed)
        fitted = calibration.fit_calibration(val_true, val.y_prob, method).apply(test.y_prob)
        row: dict[str, object] = {"method": method}
        for name, y_true, y_prob in (("val", val_true, crossed), ("test", test_true, fitted)):
            row[f"{name}_error"] = calibration.reliability(y_true, y_prob).error
            row[f"{name}_class_error"] = calibration.class_calibration_error(y_true, y_prob)
            row[f"{name}_log_loss"] = calibration.log_loss(y_true, y_prob)
        rows.append(row)
        found = calibration.reliability(test_true, fitted)
        bins.append(pd.DataFrame({"method": method, **vars(found)})[found.n > 0])
    return pd.DataFrame(rows), pd.concat(bins, ignore_index=True)


def _constant_counts(val_true: np.ndarray, test_true: np.ndarray) -> Counts:
    constant = np.broadcast_to(best_constant_prediction(val_true), test_true.shape)
    return count_outcomes(test_true, constant)


def _groups(ids: np.ndarray, facts: pd.DataFrame) -> np.ndarray:
    absent = np.setdiff1d(ids, facts.index.to_numpy(np.str_))
    if len(absent):
        raise UserError(
            "some scored images are not in the split",
            expected="every image of the scores in data/packed and data/split",
            received=f"{len(absent)} unknown, such as {str(absent[0])!r}",
            remedy="run the score stage again: dvc repro",
        )
    return facts.loc[ids, "group"].to_numpy(np.int64)


def _check_splits(val: Scores, test: Scores) -> None:
    shared = np.intersect1d(val.ids, test.ids)
    if len(shared):
        raise UserError(
            "val and test share images, so the test score would be too good",
            expected="no image on both sides",
            received=f"{len(shared)} shared, such as {str(shared[0])!r}",
            remedy="split again, then score both splits",
        )
    if val.run_id and test.run_id and val.run_id != test.run_id:
        raise UserError(
            "val and test were scored by different models",
            expected=f"run {val.run_id} for both",
            received=f"run {test.run_id} for test",
            remedy="run the score stage again",
        )


def _note(val_flags: tuple[str, ...], val_support: int, test_support: int, minimum: int) -> str:
    """Name what is doubtful about a class: flags of its threshold, then too little support."""
    notes = [f"val: {flag}" for flag in val_flags]
    if 0 < val_support < minimum and not any("positives" in flag for flag in val_flags):
        notes.append(f"val: fewer than {minimum} positives")
    if test_support == 0:
        notes.append("test: no positives")
    elif test_support < minimum:
        notes.append(f"test: fewer than {minimum} positives")
    return "; ".join(notes)
