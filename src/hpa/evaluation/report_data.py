"""Evaluation of a model on val and test: everything that the reports show."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.config.sections import Evaluate
from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import image_ids, read_index
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.errors import UserError
from hpa.evaluation.class_table import class_table
from hpa.evaluation.error_analysis import confusions, empty_rows, slices
from hpa.evaluation.headline_metrics import headline_metrics
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.evaluation.threshold_stability import threshold_spread
from hpa.evaluation.val_test_tables import calibration_tables, rule_table
from hpa.metrics.bootstrap import bootstrap_f1, too_few
from hpa.metrics.origins import UNKNOWN, Origin, require_same_origin
from hpa.metrics.predictions import Scores
from hpa.thresholds.decisions import Thresholds, decide


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics and tables of one model, from which the reports are made.

    Attributes:
        metrics: `<split>/<metric>` to number; `val/…` is the fit set of thresholds, optimistic.
        classes: one row per label, in the order of the columns; see `class_table`.
        test: truth and predictions of the test split.
        thresholds: the thresholds that gave the predictions.
        rules: see `rule_table`.
        calibration: errors and log loss of each calibration method, on val and on test.
        reliability: bins of the test split: `method`, `predicted`, `observed`, `n`.
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
        """Every table by the name of its file."""
        names = (
            "classes", "rules", "calibration", "reliability", "confusions", "slices", "empty",
        )  # fmt: skip
        tables = {name: getattr(self, name) for name in names}
        # dvc plots draws one line per revision: that of the probabilities that people see.
        shown = self.reliability["method"] == self.thresholds.shown_scale.method
        return {**tables, "reliability": self.reliability[shown]}

    @property
    def too_few(self) -> str:
        """Why macro F1 has no interval; "" if it has one."""
        return too_few(self.test.y_true, self.test.groups)

    @property
    def flagged(self) -> pd.DataFrame:
        """Rows of `classes` with quality flags."""
        return self.classes[self.classes["flags"] != ""]


def image_facts(packed_dir: Path, split_dir: Path) -> pd.DataFrame:
    """Return facts of each packed row, an image or a tile, by its Id.

    `group` (integer), `brightness` (grey level in [0,255]), `image` (Id of the image shown), and
    `source` if the images state it.
    """
    index = read_index(packed_dir)
    index = index.assign(image=image_ids(index)).set_index("Id")
    assignment = read_assignment(split_dir).set_index("Id")
    channels = read_vocabulary(packed_dir).channels
    means = index[[f"{channel}_mean" for channel in channels.names]]
    facts = pd.DataFrame({"brightness": 255 * means.mean(axis=1)})
    facts = facts.join(index.filter(["image", "source"]))
    return facts.join(assignment["group"], how="inner")


def evaluate_splits(
    val: Scores,
    test: Scores,
    thresholds: Thresholds,
    facts: pd.DataFrame,
    settings: Evaluate,
    *,
    run_id: str = "",
    origin: Origin = UNKNOWN,
) -> Evaluation:
    """Evaluate thresholds on test, beside the best constant prediction of val.

    Args:
        val, test, thresholds: scores with labels; thresholds fitted on `val`.
        facts: those of `image_facts`, of at least these images.
        settings: section evaluate of params.yaml.
        run_id, origin: kept with the test predictions.

    Raises:
        UserError: a split has no labels, the splits share images or come from two runs, or an
            image has no group.
    """
    val_true, test_true = val.labelled("val"), test.labelled("test")
    _check_splits(val, test)
    val_groups, test_groups = _groups(val.ids, facts), _groups(test.ids, facts)
    val_pred, test_pred = (decide(thresholds, split.y_prob) for split in (val, test))
    predictions = EvaluatedSplit(
        test.ids, test_groups, test_true, test.y_prob, test_pred, test.labels, run_id, origin
    )
    draws = {"seed": settings.seed, "n": settings.n_bootstrap}
    replicates = bootstrap_f1(test_true, test_pred, test_groups, **draws)
    classes = class_table(
        val_true, val_pred, predictions, thresholds, replicates, settings.min_support
    )
    spread = threshold_spread(val_true, val.y_prob, val_groups, seed=settings.seed)
    scaled = thresholds.shown_scale.apply(spread)
    classes["threshold_low"], classes["threshold_high"] = scaled
    calibration, reliability = calibration_tables(val, test, val_groups, seed=settings.seed)
    return Evaluation(
        metrics=headline_metrics(predictions, val_true, val_pred, thresholds, replicates, classes),
        classes=classes,
        test=predictions,
        thresholds=thresholds,
        rules=rule_table(test, thresholds),
        calibration=calibration,
        reliability=reliability,
        confusions=confusions(test_true, test_pred, test.labels),
        slices=slices(
            predictions,
            facts.loc[test.ids, "brightness"].to_numpy(),
            facts.loc[test.ids, "source"].to_numpy() if "source" in facts else None,
            **draws,
        ),
        empty=pd.DataFrame(
            row
            for name, split in (("val", val), ("test", test))
            for row in empty_rows(
                name, split.labelled(name), thresholds.predict(split.y_prob), split.y_prob
            )
        ),
        min_support=settings.min_support,
    )


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
            expected="no image in both splits",
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
    require_same_origin(
        val.origin,
        test.origin,
        names=("the val scores", "the test scores"),
        remedy="score both splits at once: dvc repro score",
    )
