"""benchmarks/real_cells.py: its table worked by hand, and the whole of it on a tiny world."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from hpa.model.resnet import build_resnet34
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018
from support.older_models import write_older_model
from support.paths import ROOT
from support.scripts import environment_of, load_benchmark
from support.worlds import draw_pixels, write_image


@pytest.fixture(scope="module")
def real_cells() -> ModuleType:
    return load_benchmark("real_cells")


def test_the_difference_is_that_of_all_seeds_together(
    real_cells: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    y_true = np.tile([[1, 0], [0, 1]], (10, 1))
    one_wrong = y_true.copy()
    one_wrong[::4] = [[0, 1]]  # 5 of the 10 cells of the first label
    column = {"labels": ["Cytosol", "Nucleoli"], "groups": list(range(20)), "macro_f1": 0.5}
    poor, good = ({**column, "y_true": y_true, "y_pred": each} for each in (one_wrong, y_true))
    real_cells.print_table({"from scratch": [poor, poor], "older model": [good, good]})
    lines = capsys.readouterr().out.splitlines()
    # F1 of the first 2·5 / (10 + 5), of the second 2·10 / (10 + 15)
    assert "| from scratch | 0.500 0.500 | 0.733 |  |" in lines
    older = next(line for line in lines if line.startswith("| older model | 0.500"))
    assert "| 1.000 | +0.267 (+0." in older
    assert "40 test cells of 2 splits, 2 labels" in lines


@pytest.mark.slow
def test_it_trains_from_both_starts_and_repeats_nothing(tmp_path: Path) -> None:
    rows = []
    for number in range(40):
        pixels = np.zeros((64, 64, 4), np.uint8)
        pixels[8:40, 4:30] = draw_pixels(number, 32)[:, :26] | 64
        write_image(tmp_path / "images", f"cell-{number}", pixels)
        files = {name: f"images/cell-{number}_{name}.png" for name in CHANNELS.names}
        target = ("Cytosol", "Nucleoli; Rods")[number % 2]
        rows.append({"Id": f"cell-{number}", "Target": target, "group": number // 2, **files})
    pd.DataFrame(rows).to_csv(tmp_path / "cells.csv", index=False)
    rates = np.full(len(HPA_2018.labels), 0.1)
    network = build_resnet34(32, len(CHANNELS), label_rates=rates, dropout=0.0)
    write_older_model(tmp_path / "older", network, HPA_2018)
    command = [sys.executable, str(ROOT / "benchmarks/real_cells.py"), "--imagenet", ""]
    command += ["--cells", "cells.csv", "--start", "older", "--output", "out", "--seeds", "1"]
    command += ["--steps", "2", "--size", "32", "--batch", "8"]
    environment = environment_of(tmp_path)
    first, second = (
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    assert "starting from" in first.stderr
    assert "| from simulated images |" in first.stdout
    assert "| F1 | Cytosol | Nucleoli | Rods |" in first.stdout
    assert second.stdout == first.stdout
    assert "starting from" not in second.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2
