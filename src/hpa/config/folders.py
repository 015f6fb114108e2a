"""Folders of the pipeline, relative to the repository: the outputs that dvc.yaml names."""

from pathlib import Path

RAW_DIR = Path("data/raw")
PACKED_DIR = Path("data/packed")
SPLIT_DIR = Path("data/split")
MODEL_DIR = Path("model")
SCORES_DIR = Path("scores")
REPORTS_DIR = Path("reports")
