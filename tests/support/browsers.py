"""The headless Chromium that reads pages in tests."""

import os
from pathlib import Path

import pytest

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
needs_chromium = pytest.mark.skipif(
    not CHROMIUM.is_file(), reason=f"no {CHROMIUM}: apt-get install chromium, or set CHROMIUM"
)
