"""Take the pictures of docs/: MLflow's own pages and the model's page, in a headless Chromium.

    python docs/screenshots.py            two minutes: all of them
    python docs/screenshots.py app        the model's page alone; or: tracking
    python docs/screenshots.py app --model /tmp/model --output /tmp
    python docs/screenshots.py tracking --store sqlite:////tmp/other/mlflow.db

Needs Chromium (Debian: apt-get install chromium). `app` shows the model in model/. `tracking` shows
the table of runs, the charts, and the compare page of three runs with different gamma of mlflow.db:
dvc exp run --queue -S 'loss.gamma=1,2,4' && dvc exp run --run-all
"""

import argparse
import json
import os
import re
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
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
PARTS = ("tracking", "app")
LAPTOP, PHONE = {"width": 1366, "height": 850}, {"width": 390, "height": 844}


def main() -> None:
    """Serve what is to be seen on the loopback and photograph it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--store", default=f"sqlite:///{ROOT}/mlflow.db", metavar="URI")
    parser.add_argument("--model", default=str(ROOT / "model"), metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", metavar="DIR")
    parser.add_argument("--chromium", default="/usr/bin/chromium", metavar="FILE")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        sys.exit(f"error: unknown part {', '.join(unknown)}: expected {' or '.join(PARTS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"]
        )
        if "tracking" in (arguments.parts or PARTS):
            photograph_tracking(browser, arguments.store, arguments.output)
        if "app" in (arguments.parts or PARTS):
            photograph_app(browser, arguments.model, arguments.output)


def photograph_tracking(browser: Browser, store: str, output: Path) -> None:
    """Photograph MLflow's pages of three runs."""
    runs = three_gammas(MlflowClient(store))
    with serve(store) as url:
        page = browser.new_page(viewport={"width": 1500, "height": 800})
        for name, address, wanted in pages(runs):
            path = output / f"tracking-{name}.png"
            photograph(page, f"{url}/{address}", wanted, path)
            print(path)


def photograph_app(browser: Browser, model: str, output: Path) -> None:
    """Photograph the model's page on a laptop and on a phone."""
    with serve_app(model) as url:
        laptop, phone = browser.new_page(viewport=LAPTOP), browser.new_page(viewport=PHONE)
        for page, name, show in (
            (laptop, "laptop", show_map),
            (laptop, "flags", show_flags),
            (laptop, "batch", show_batch),
            (phone, "phone", show_map),
        ):
            page.goto(url, timeout=120_000)
            show(page)
            page.wait_for_timeout(500)
            path = output / f"app-{name}.jpg"  # noisy pictures: a fifth of the bytes of PNG
            page.screenshot(path=path, quality=88)
            print(path)


def show_map(page: Page) -> None:
    """Let an example be answered, and show where its likeliest label was seen."""
    page.get_by_role("button", name="Mitochondria").click()
    page.locator("#labels button").first.click(timeout=60_000)
    page.evaluate("document.getElementById('result').scrollIntoView()")


def show_flags(page: Page) -> None:
    """Let the example with a fault be answered."""
    page.get_by_role("button", name="With a fault").click()
    page.locator("#result").wait_for(timeout=60_000)


def show_batch(page: Page) -> None:
    """Let all examples be answered at once."""
    page.get_by_role("tab", name="Many images").click()
    page.get_by_role("button", name="Try it with the simulated images").click()
    page.locator("#many-csv").wait_for(timeout=60_000)


@contextmanager
def serve_app(model: str) -> Iterator[str]:
    """Run src/app.py on a free port."""
    command = [sys.executable, str(ROOT / "src/app.py"), "--model", model, "--port", "0"]
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdout is not None
    try:
        for line in server.stdout:
            if found := re.search(r"http://\S+", line):
                yield found[0]
                return
        sys.exit(f"error: the page did not start; try: {' '.join(command)}")
    finally:
        server.terminate()
        server.wait()


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
