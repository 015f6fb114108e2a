"""Take the pictures of docs/tracking.md: MLflow's own pages, in a headless Chromium.

    python docs/screenshots.py            a minute, on the runs of mlflow.db
    python docs/screenshots.py --store sqlite:////tmp/other/mlflow.db --output /tmp

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
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from mlflow import MlflowClient
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Serve the store on the loopback and photograph its pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", default=f"sqlite:///{ROOT}/mlflow.db", metavar="URI")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", metavar="DIR")
    parser.add_argument("--chromium", default="/usr/bin/chromium", metavar="FILE")
    arguments = parser.parse_args()
    runs = three_gammas(MlflowClient(arguments.store))
    with serve(arguments.store) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1500, "height": 800})
        for name, address, wanted in pages(runs):
            path = arguments.output / f"tracking-{name}.png"
            photograph(page, f"{url}/{address}", wanted, path)
            print(path)


def three_gammas(client: MlflowClient) -> list[str]:
    """Return the newest finished run of each of three values of loss.gamma."""
    found: dict[str, str] = {}
    for run in client.search_runs(["0"], "attributes.status = 'FINISHED'"):
        found.setdefault(run.data.params.get("loss.gamma", ""), run.info.run_id)
    if len(found) < 3:
        sys.exit(f"error: three values of loss.gamma are needed, found {sorted(found)}; see --help")
    return list(found.values())[:3]


def pages(runs: list[str]) -> list[tuple[str, str, str]]:
    """List name, address and a text that the page must show."""
    table = "#/experiments/0/runs?compareRunsMode="
    compare = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps(['0']))}"
    return [
        ("table", table + "TABLE", "gamma="),
        ("charts", table + "CHART", "test/macro_f1"),
        ("compare", f"#/compare-runs?{compare}", "loss.gamma"),
        ("run", f"#/experiments/0/runs/{runs[0]}", "data/packed"),
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


@contextmanager
def serve(store: str) -> Iterator[str]:
    """Run `mlflow ui` on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--backend-store-uri", store],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
