"""Take the pictures of docs/tracking.md and docs/search.md in a headless Chromium.

    python docs/screenshots.py            a minute, on the runs of mlflow.db
    python docs/screenshots.py --store sqlite:////tmp/other/mlflow.db --output /tmp
    python docs/screenshots.py --search   those of docs/search.md, after python src/search.py

Shows the table of runs, the charts, and the compare page of three runs with different gamma.
Needs Chromium (Debian: apt-get install chromium) and three such runs:
dvc exp run --queue -S 'loss.gamma=1,2,4' && dvc exp run --run-all
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main() -> None:
    """Serve the store on the loopback and photograph its pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", default=f"sqlite:///{ROOT}/mlflow.db", metavar="URI")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", metavar="DIR")
    parser.add_argument("--chromium", default="/usr/bin/chromium", metavar="FILE")
    parser.add_argument("--search", action="store_true", help="a study instead of three runs")
    parser.add_argument("--storage", default=f"sqlite:///{ROOT}/optuna.db", metavar="URI")
    parser.add_argument("--report", type=Path, default=ROOT / "search/report.html", metavar="FILE")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        url = stack.enter_context(serve(mlflow_ui(arguments.store), "health"))
        if arguments.search:
            dashboard = stack.enter_context(serve(optuna_dashboard(arguments.storage), "dashboard"))
            wanted = search_pages(url, dashboard, arguments.report)
        else:
            wanted = pages(url, three_gammas(MlflowClient(arguments.store)))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=arguments.chromium, args=CHROMIUM
        )
        page = browser.new_page(viewport={"width": 1500, "height": 800})
        for name, address, text in wanted:
            path = arguments.output / f"{name}.png"
            photograph(page, address, text, path)
            print(path)


def three_gammas(client: MlflowClient) -> list[str]:
    """Return the newest finished run of each of three values of loss.gamma."""
    found: dict[str, str] = {}
    for run in client.search_runs(["0"], "attributes.status = 'FINISHED'"):
        found.setdefault(run.data.params.get("loss.gamma", ""), run.info.run_id)
    if len(found) < 3:
        sys.exit(f"error: three values of loss.gamma are needed, found {sorted(found)}; see --help")
    return list(found.values())[:3]


def search_pages(mlflow: str, dashboard: str, report: Path) -> list[tuple[str, str, str]]:
    """List name, address and a text that the page must show."""
    nested = quote("tags.`optuna.trial` != ''")
    runs = f"{mlflow}/#/experiments/0/runs?compareRunsMode=TABLE&searchFilter={nested}"
    return [
        ("search-report", report.resolve().as_uri(), "History"),
        ("search-dashboard", f"{dashboard}/dashboard/studies/1", "Best Trial"),
        ("search-runs", runs, "trial 0 of"),
    ]


def pages(url: str, runs: list[str]) -> list[tuple[str, str, str]]:
    """List name, address and a text that the page must show."""
    table = f"{url}/#/experiments/0/runs?compareRunsMode="
    compare = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps(['0']))}"
    return [
        ("tracking-table", table + "TABLE", "gamma="),
        ("tracking-charts", table + "CHART", "test/macro_f1"),
        ("tracking-compare", f"{url}/#/compare-runs?{compare}", "loss.gamma"),
        ("tracking-run", f"{url}/#/experiments/0/runs/{runs[0]}", "data/packed"),
    ]


def photograph(page: Page, url: str, wanted: str, path: Path) -> None:
    """Open a page, wait for a text on it, and save what is seen."""
    page.goto("about:blank")
    page.goto(url)
    page.get_by_text(wanted).first.wait_for(state="attached", timeout=60_000)
    assistant = page.get_by_role("button", name="Close")
    if assistant.count():
        assistant.first.click()
    page.wait_for_timeout(3000)  # charts are drawn after their titles
    page.screenshot(path=path)


def mlflow_ui(store: str) -> list[str]:
    """Return the command that serves runs."""
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1"]
    return [*command, "--backend-store-uri", store]


def optuna_dashboard(storage: str) -> list[str]:
    """Return the command that serves studies."""
    return [str(Path(sys.executable).parent / "optuna-dashboard"), storage]


@contextmanager
def serve(command: list[str], first: str) -> Iterator[str]:
    """Run a server on a free port until the block ends; its page `first` answers then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{first}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
