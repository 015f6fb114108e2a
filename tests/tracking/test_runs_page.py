"""MLflow's page as `make ui` opens it: the text that a person reads, in a headless Chromium."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import mlflow
import pytest
from playwright.sync_api import Browser, Page

from hpa.config.params import changed_params, load_params
from hpa.tracking.runs_server import free_port, serve_runs
from hpa.tracking.stage_run import log_metrics, stage_run
from hpa.tracking.views import ROUNDS, page
from support import databases
from support.browsers import needs_chromium
from support.clones import make_clone, shell
from support.paths import ROOT
from support.scripts import environment_of

pytestmark = [pytest.mark.slow, needs_chromium]
DESK, PHONE = ({"width": width, "height": height} for width, height in ((1440, 900), (390, 844)))
ANSWER = ("metrics.`test/macro_f1`", "params.`loss.gamma`", "params.`loss.alpha`")
PARAMS = load_params(ROOT / "params.yaml")
CELLS = """() => [...document.querySelectorAll('.ag-cell')].map(cell => [
  Number(cell.closest('[row-index]').getAttribute('row-index')),
  cell.getAttribute('col-id'), cell.innerText.trim(), cell.getBoundingClientRect().right])"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three small runs of different gamma."""
    clone = make_clone(tmp_path_factory.mktemp("clone"))
    for gamma in (1, 2, 4):
        done = shell(clone, f"mlflow run . -P gamma={gamma}")
        assert done.returncode == 0, done.stderr
        assert "all runs: http://127.0.0.1:5000/#/experiments/" in done.stdout
    return clone


@contextmanager
def ui(folder: Path, **environment: str) -> Iterator[str]:
    """Run what `make ui` runs; yield the address that it prints."""
    port = databases.free_port()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "src" / "ui.py"), "--port", str(port)],
        cwd=folder,
        env=environment_of(folder) | {"BROWSER": "true"} | environment,
        stdout=subprocess.PIPE,
        text=True,
        # A shell in the background lets its commands ignore Ctrl-C; a terminal does not.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    printed = process.stdout.readline()
    found = re.search(r"http://\S+", printed)
    assert found, printed
    try:
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert free_port(port) == port  # nothing serves it any more


def open_page(browser: Browser, address: str, text: str, viewport: dict[str, int]) -> Page:
    """Open a page and make the one click: MLflow's assistant is closed."""
    page = browser.new_page(viewport=viewport)  # type: ignore[arg-type]
    page.goto(address)
    page.get_by_text(text).first.wait_for(state="attached", timeout=60_000)
    page.get_by_role("button", name="Close").first.click()
    page.wait_for_timeout(1000)
    return page


def rows(page: Page, right: float) -> list[dict[str, str]]:
    """Return the runs of the table, as shown left of `right`: text by column."""
    table: dict[int, dict[str, str]] = {}
    for row, column, text, end in page.evaluate(CELLS):
        if end <= right:
            table.setdefault(row, {})[column] = text
    shown = [cells for _, cells in sorted(table.items())]
    return [cells for cells in shown if "Group:" not in cells.get("attributes.`Run Name`", "")]


def expected_rows(client: mlflow.MlflowClient, experiment: str) -> list[tuple[str, str, str]]:
    runs = client.search_runs([experiment], order_by=["metrics.`test/macro_f1` DESC"])
    return [
        (
            str(run.data.metrics["test/macro_f1"]),
            run.data.params["loss.gamma"],
            run.data.params["loss.alpha"],
        )
        for run in runs
    ]


def experiment_in(address: str) -> str:
    found = re.search(r"experiments/(\d+)", address)
    assert found
    return found[1]


def require_answer(browser: Browser, address: str, expected: list[tuple[str, str, str]]) -> None:
    assert len(expected) == 3
    assert {gamma.removesuffix(".0") for _, gamma, _ in expected} == {"1", "2", "4"}
    page = open_page(browser, address, "Group: pipeline", DESK)
    assert [tuple(row[key] for key in ANSWER) for row in rows(page, DESK["width"])] == expected
    page.close()
    page = open_page(browser, address, "Group: pipeline", PHONE)
    page.get_by_role("button", name="Toggle sidebar").click()
    page.wait_for_timeout(1000)
    scroll = "each => { each.scrollLeft = 260 }"
    page.locator(".ag-center-cols-viewport").first.evaluate(scroll)
    page.wait_for_timeout(1000)
    assert [tuple(row[key] for key in ANSWER) for row in rows(page, PHONE["width"])] == expected
    page.close()


def test_three_runs_stand_in_the_first_table_with_gamma_alpha_and_macro_f1(
    browser: Browser, clone: Path
) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{clone}/mlflow.db")
    with ui(clone) as address:
        expected = expected_rows(client, experiment_in(address))
        require_answer(browser, address, expected)


def test_the_same_stands_in_the_table_of_a_tracking_server(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with serve_runs(f"sqlite:///{tmp_path}/server.db", databases.free_port()) as (url, _):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        for gamma in (1.0, 2.0, 4.0):
            params = changed_params(PARAMS, {"loss.gamma": gamma})
            with stage_run("train", params, sections=("loss", "train")):
                log_metrics({"test/macro_f1": gamma / 10})
        with ui(tmp_path, MLFLOW_TRACKING_URI=url) as address:
            assert address.startswith(url)
            expected = expected_rows(mlflow.MlflowClient(url), experiment_in(address))
            require_answer(browser, address, expected)


def test_the_comparison_opens_on_gamma_and_macro_f1(browser: Browser, clone: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{clone}/mlflow.db")
    with ui(clone) as address:
        experiment, server = experiment_in(address), address.partition("/#")[0]
        runs = [run.info.run_id for run in client.search_runs([experiment])]
        named = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"
        page = open_page(browser, f"{server}/#/compare-runs?{named}", "loss.gamma", DESK)
        page.wait_for_timeout(3000)
        axes = page.locator(".parcoords .axis-title").all_text_contents()
        assert axes == ["about", "loss.gamma", "test/macro_f1"], axes
        page.get_by_role("tab", name="Scatter Plot").click()
        page.locator(".xtitle").first.wait_for(timeout=30_000)
        assert page.locator(".xtitle").first.text_content() == "about"
        assert page.locator(".ytitle").first.text_content() == "test/macro_f1"
        ticks = page.locator(".xtick").all_text_contents()
        assert {tick for tick in ticks if "gamma=" in tick} >= {"gamma=1", "gamma=4"}


def test_the_charts_of_a_round_begin_with_the_losses(browser: Browser, clone: Path) -> None:
    with ui(clone) as address:
        server, experiment = address.partition("/#")[0], experiment_in(address)
        shown = open_page(browser, server + page(experiment, ROUNDS), "val/loss", DESK)
        text = shown.locator("[data-testid=experiment-view-compare-runs-chart-area]").inner_text()
    places = [text.index(name) for name in ("val/loss", "val/macro_f1", "train/loss")]
    assert places == sorted(places)
