"""Data says which parameters made it."""

from dataclasses import asdict
from pathlib import Path

import pytest

from hpa.config.params import load_params
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.record import (
    RECORD,
    data_parameters,
    fetch_record,
    split_record,
)
from hpa.data.splits.splitting import write_split
from hpa.errors import UserError
from hpa.system.files import write_json
from hpa.vocabulary.hpa2018 import LABELS
from support.paths import ROOT
from support.trainings import split_in_order
from support.worlds import pack_small

PARAMS = load_params(ROOT / "params.yaml")


def test_packed_data_says_how_it_was_fetched_and_packed(own_world: Path, tmp_path: Path) -> None:
    write_json(own_world / RECORD, fetch_record(asdict(PARAMS.fetch)))
    pack_small(own_world, tmp_path / "packed")
    said = data_parameters(tmp_path / "packed", tmp_path / "split")
    assert said["fetch.source"] == "synthetic"
    assert said["fetch.seed"] == PARAMS.fetch.seed
    assert "fetch.competition" not in said  # has no influence on simulated images
    assert said["pack.image_size"] == 32
    assert said["pack.odd_size"] == "refuse"


def test_packed_data_says_what_the_files_of_a_fetch_held(own_world: Path, tmp_path: Path) -> None:
    fetch = asdict(PARAMS.fetch) | {"source": "local", "depth": "set_percentile"}
    found = {"types": ["uint16"], "limits": {"red": [3.5, 900.0]}}
    write_json(own_world / RECORD, fetch_record(fetch, found))
    pack_small(own_world, tmp_path / "packed")
    said = data_parameters(tmp_path / "packed", tmp_path / "split")
    assert (said["fetch.depth"], said["fetch.z"]) == ("set_percentile", "refuse")
    assert (said["found.types"], said["found.limits"]) == (["uint16"], {"red": [3.5, 900.0]})
    assert "found" not in fetch_record(asdict(PARAMS.fetch))  # simulated: no files were read


def test_folders_without_records_say_nothing(tmp_path: Path) -> None:
    assert data_parameters(tmp_path / "packed", tmp_path / "split") == {}


def test_a_split_of_other_packed_images_is_refused(packed_world: Path, tmp_path: Path) -> None:
    index = read_index(packed_world)
    split_in_order(packed_world, tmp_path / "split", n_train=10)
    assert data_parameters(packed_world, tmp_path / "split")["pack.image_size"] == 32
    (tmp_path / "index.csv").write_text("Id\nanother\n")
    record = split_record(asdict(PARAMS.split), tmp_path / "index.csv")
    write_split(tmp_path / "split", index, LABELS, index.assign(split="train"), record)
    with pytest.raises(UserError, match=r"made from other packed images[\s\S]*dvc repro split"):
        data_parameters(packed_world, tmp_path / "split")
