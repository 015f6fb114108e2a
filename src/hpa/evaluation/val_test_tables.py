"""Tables that compare val with test: threshold rules and their optimism, calibration methods."""

import numpy as np
import pandas as pd

from hpa.metrics import calibration
from hpa.metrics.calibration import fit_calibration, reliability
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import macro_f1
from hpa.metrics.predictions import Scores
from hpa.thresholds.cross_fitting import cross_fitted_calibration
from hpa.thresholds.decisions import PlainRule, Thresholds


def rule_table(test: Scores, thresholds: Thresholds) -> pd.DataFrame:
    """Return macro F1 of each rule on val (fitted and cross-fitted) and on test, rows unfilled.

    Columns: `rule` ("in force" or a plain rule), `fit`, `cross_fitted`, `test`, `optimism_fit`,
    `optimism_cross_fitted`.
    """
    rules: dict[str, Thresholds | PlainRule] = {"in force": thresholds, **thresholds.plain}
    y_true = test.labelled("test")
    table = pd.DataFrame(
        {
            "rule": name,
            "fit": rule.fit_macro_f1,
            "cross_fitted": rule.cross_fitted_macro_f1,
            "test": macro_f1(count_outcomes(y_true, rule.predict(test.y_prob))),
        }
        for name, rule in rules.items()
    )
    table["optimism_fit"] = table["fit"] - table["test"]
    table["optimism_cross_fitted"] = table["cross_fitted"] - table["test"]
    return table


def calibration_tables(
    val: Scores, test: Scores, val_groups: np.ndarray, *, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return errors and log loss of each calibration method, and its reliability bins on test.

    Methods are fitted on val: errors on val are cross-fitted over groups.
    """
    val_true, test_true = val.labelled("val"), test.labelled("test")
    rows, bins = [], []
    for method in calibration.METHODS:
        on_val = cross_fitted_calibration(val_true, val.y_prob, val_groups, method, seed=seed)
        on_test = fit_calibration(val_true, val.y_prob, method).apply(test.y_prob)
        errors = {**_errors("val", val_true, on_val), **_errors("test", test_true, on_test)}
        rows.append({"method": method, **errors})
        curve = reliability(test_true, on_test)
        bins.append(pd.DataFrame({"method": method, **vars(curve)})[curve.n > 0])
    return pd.DataFrame(rows), pd.concat(bins, ignore_index=True)


def _errors(split: str, y_true: np.ndarray, y_prob: np.ndarray) -> dict[str, float]:
    return {
        f"{split}_error": reliability(y_true, y_prob).error,
        f"{split}_class_error": calibration.class_calibration_error(y_true, y_prob),
        f"{split}_log_loss": calibration.log_loss(y_true, y_prob),
    }
