"""Folders of the repository, wherever a test lies."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHONPATH = f"{ROOT / 'src'}:{ROOT / 'tests'}"
"""For a test's own Python processes."""
