"""The page as src/app.py serves it, open in a browser."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from support.paths import ROOT

PHONE = {"width": 390, "height": 844}


@contextmanager
def page_server(folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Serve a model folder; yield address and process id, and require a clean end."""
    command = [sys.executable, str(ROOT / "src/app.py"), "--model", str(folder), "--port", "0"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            yield found[0], process.pid
            break
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(timeout=30) == 128 + signal.SIGTERM


@contextmanager
def open_page(browser: Browser, url: str, n_examples: int, **settings: object) -> Iterator[Page]:
    """Open the page; in the end, require no request to another server and no script error."""
    context = browser.new_context(**settings)  # type: ignore[arg-type]
    page = context.new_page()
    requested: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(url)
    expect(page.locator(".slot").first).to_be_visible()
    expect(page.locator(".example")).to_have_count(n_examples)
    yield page
    context.close()
    assert requested
    assert not [each for each in requested if not each.startswith((f"{url}/", "data:", "blob:"))]
    expected_errors = "Failed to load resource: the server responded with a status of 4"
    assert not [each for each in errors if not each.startswith(expected_errors)]
