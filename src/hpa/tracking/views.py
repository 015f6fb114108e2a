"""Shared views of an experiment: what MLflow's page shows when it is opened by our addresses.

MLflow keeps a view as a tag of the experiment, `mlflow.sharedViewState.KEY`, whose value is the
state of its page. The page nests runs only while it sorts them by date, so the trials of a search
are nested by grouping on the tag `made_by`.
"""

import base64
import json
import zlib
from contextlib import suppress
from typing import Any

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from hpa.errors import UserError
from hpa.tracking.address import unreadable
from hpa.tracking.experiments import OWN_TAG, chosen_experiment, experiment_id
from hpa.tracking.mlflow_store import all_experiments, open_store

MADE_BY = "made_by"
"""Tag of a run: `pipeline`, or `search NAME` for a search and its trials."""
PIPELINE = "pipeline"
TAG = "mlflow.sharedViewState."
TRAINING = "workflowType=machine_learning"
"""End of an address: MLflow's page else shows the menu of language models."""
N_NEWEST = 100
"""Runs that decide which experiments are shown."""
VERSION = 3
"""Raise it with any change below: views of earlier versions are then replaced."""
ANSWER, ROUNDS, SEARCH = "hpa-answer", "hpa-rounds", "hpa-search"
COLUMNS = {
    "metrics.`test/macro_f1`": 98,
    "params.`loss.gamma`": 86,
    "params.`loss.alpha`": 78,
    "params.`loss.name`": 82,
    "params.`train.learning_rate`": 130,
    "metrics.`test/macro_f1_low`": 121,
    "metrics.`test/macro_f1_high`": 124,
}
"""Columns of the answer from left to right, and their widths in pixels: of the titles, so that the
models are shown too at 1440 pixels."""
BESIDE = {"attributes.`Run Name`": 178, "runDateAndNestInfo": 130, "attributes.`Models`": 84}
"""Columns of every table, and their widths."""
VALUE = "metrics.`val/macro_f1_cross_fitted`"
"""Value of a trial."""
SEARCHED = (
    "loss.name",
    "loss.gamma",
    "loss.alpha",
    "loss.gamma_negative",
    "train.learning_rate",
    "train.weight_decay",
    "train.oversampling",
    "model.dropout",
    "augment.zoom",
    "augment.blur",
    "augment.contrast",
)
"""Parameters of `search.space` in the committed params.yaml."""


def add_views(client: mlflow.MlflowClient, experiment: str, time: int) -> None:
    """Give an experiment the views that it lacks, or has from an earlier version.

    A view that somebody else made or changed stays, and a store that refuses the tags goes without.

    Args:
        time: milliseconds since 1970, which the page shows as the views' date.
    """
    with suppress(MlflowException):
        tags = client.get_experiment(experiment).tags
        for key, (name, state) in _views().items():
            if _is_ours_to_write(tags.get(TAG + key)):
                view = {"name": name, "createdAt": time, "updatedAt": time, "hpa": VERSION}
                value = json.dumps({**view, "state": _packed(state)})
                client.set_experiment_tag(experiment, TAG + key, value)


def shown_experiments(time: int) -> dict[str, str]:
    """Return name by id of the experiments to look at, with their views written; `hpa` if none.

    They are the chosen one, else those of this project's newest runs, the last one first: the runs
    of `mlflow run` are in an experiment of their own.

    Raises:
        UserError: the store is away, or the chosen experiment is deleted or unknown.
    """
    try:
        client, chosen = open_store(), chosen_experiment()
        found = [] if chosen else _newest_runs(client)
        used = [*dict.fromkeys(run.info.experiment_id for run in found)]
        shown = used or [experiment_id(client, chosen)]
        for each in shown:
            add_views(client, each, time)
        return {each: client.get_experiment(each).name for each in shown}
    except UserError:
        raise
    except Exception as error:
        raise unreadable(error) from error


def _newest_runs(client: mlflow.MlflowClient) -> list[Run]:
    own, by_start = f"tags.`{OWN_TAG}` LIKE '%'", ["attributes.start_time DESC"]
    experiments = all_experiments(client)
    return list(client.search_runs(experiments, own, order_by=by_start, max_results=N_NEWEST))


def page(experiment: str, view: str = ANSWER) -> str:
    """Return the path, below the address of a server, that opens on a view."""
    mode = "&compareRunsMode=CHART" if view == ROUNDS else ""
    return f"/#/experiments/{experiment}/runs?{TRAINING}&viewStateShareKey={view}{mode}"


def _packed(state: dict[str, Any]) -> str:
    """Return the state of a page as MLflow stores it."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()


def _is_ours_to_write(value: str | None) -> bool:
    """Tell whether a view is absent, or is ours of an earlier version."""
    if value is None:
        return True
    try:
        return 0 < json.loads(value)["hpa"] < VERSION
    except (ValueError, TypeError, KeyError):
        return False


def _views() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return name and state by key."""
    return {
        ANSWER: ("Runs by macro F1", _table("test/macro_f1", COLUMNS) | _grouped()),
        ROUNDS: ("Charts of a round", _table("test/macro_f1", COLUMNS) | _charts()),
        SEARCH: ("Search", _search()),
    }


def _table(metric: str, widths: dict[str, int]) -> dict[str, Any]:
    """Return the state of a table that is sorted by a metric, the highest first."""
    return {
        "searchFilter": "",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": False,
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "startTime": "ALL",
        "datasetsFilter": [],
        "selectedColumns": [*widths, "attributes.`Models`"],
        "columnOrder": [
            "attributes.`Run Name`",
            *widths,
            "runDateAndNestInfo",
            "attributes.`Models`",
            "duration",
        ],
        "columnWidths": {**BESIDE, **widths},
    }


def _grouped() -> dict[str, Any]:
    keys = [{"mode": "tag", "groupByData": MADE_BY}]
    # Runs of earlier versions have no such tag: their group is open as well.
    return {
        "groupBy": {"aggregateFunction": "max", "groupByKeys": keys},
        "groupsExpanded": {f"tag.{MADE_BY}": True},
        "useGroupedValuesInCharts": False,
    }


def _search() -> dict[str, Any]:
    columns = {VALUE: 200, **{f"params.`{key}`": 120 for key in SEARCHED}}
    trials = {"searchFilter": f"tags.{MADE_BY} LIKE 'search %'"}
    return _table("val/macro_f1_cross_fitted", columns) | trials


def _charts() -> dict[str, Any]:
    """Return the charts of a round, then those of the test split."""
    sections = {
        "a round": (_line("val/loss"), _line("val/macro_f1"), _line("train/loss")),
        "the answer": (
            _chart("BAR", metricKey="test/macro_f1"),
            _scatter("loss.gamma"),
            _scatter("train.learning_rate"),
            _parallel(),
        ),
    }
    cards = [{**card, "metricSectionId": name} for name in sections for card in sections[name]]
    return {
        "compareRunSections": [
            {"uuid": name, "name": name, "display": True, "isReordered": False, "deleted": False}
            for name in sections
        ],
        "compareRunCharts": [{**card, "uuid": f"hpa-{n}"} for n, card in enumerate(cards)],
        "isAccordionReordered": True,  # else MLflow sorts the sections by name
        "hideEmptyCharts": True,
    }


def _chart(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "runsCountToCompare": 10, "deleted": False, "isGenerated": False} | fields


def _line(metric: str) -> dict[str, Any]:
    return _chart(
        "LINE",
        metricKey=metric,
        selectedMetricKeys=[metric],
        xAxisKey="step",
        xAxisScaleType="linear",
        scaleType="linear",
        yAxisKey="metric",
        yAxisExpressions=[],
        lineSmoothness=0,
        useGlobalXaxisKey=True,
        useGlobalLineSmoothing=True,
        selectedXAxisMetricKey="",
        ignoreOutliers=False,
        range={},
    )


def _scatter(param: str) -> dict[str, Any]:
    x, y = {"key": param, "type": "PARAM"}, {"key": "test/macro_f1", "type": "METRIC"}
    return _chart("SCATTER", xaxis=x, yaxis=y, runsCountToCompare=100)


def _parallel() -> dict[str, Any]:
    params = ["loss.gamma", "loss.alpha", "train.learning_rate"]
    return _chart(
        "PARALLEL", selectedParams=params, selectedMetrics=["test/macro_f1"], showAllRuns=False
    )
