"""The key of the checkpoints follows what decides a training's numbers, and nothing else."""

import shutil
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hpa.config.params import Params, load_params
from hpa.data.packed.pixel_sizes import PixelSizes
from hpa.data.packed.vocabulary import vocabulary_of
from hpa.model.archive_origin import embedded_provenance
from hpa.system import files
from hpa.training import code, provenance
from hpa.vocabulary.hpa2018 import HPA_2018
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")


@pytest.fixture
def source_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of src/, beside dvc.yaml, that the key is computed from."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    folder = shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__")
    )
    for module in (files, code):
        monkeypatch.setattr(module, "SOURCE_DIR", folder)
    return folder


def key(params: Params = PARAMS, inputs: tuple[Path, ...] = ()) -> dict[str, Any]:
    return provenance.checkpoint_key(params, list(inputs))


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("hpa/tracking/stage_run.py", True),
        ("hpa/reports/html.py", True),
        ("train.py", True),
        ("hpa/model/losses.py", False),
        ("hpa/training/loop.py", False),
        ("hpa/vocabulary/labels.py", False),
    ],
)
def test_an_edit_changes_the_key_only_if_it_can_change_the_numbers(
    source_dir: Path, name: str, same: bool
) -> None:
    before = key()
    with (source_dir / name).open("a") as file:
        file.write("# Edited.\n")
    assert (key() == before) == same


@pytest.mark.parametrize("name", ["hpa/data/synthesis/label_counts.csv", "hpa/app/server.py"])
def test_the_digest_of_the_code_covers_tables_as_well_as_python(
    source_dir: Path, name: str
) -> None:
    before = files.code_sha256([source_dir])
    (source_dir / "hpa/__pycache__").mkdir()
    (source_dir / "hpa/__pycache__/labels.pyc").touch()
    assert files.code_sha256([source_dir]) == before
    with (source_dir / name).open("a") as file:
        file.write("\n")
    assert files.code_sha256([source_dir]) != before


def test_a_file_added_to_a_room_that_trains_changes_the_key(source_dir: Path) -> None:
    before = key()
    (source_dir / "hpa/model/new.py").touch()
    assert key() != before


def test_parameters_and_data_change_the_key_but_not_how_often_checkpoints_are_written(
    tmp_path: Path,
) -> None:
    (tmp_path / "index.csv").write_text("Id")
    before = key(inputs=(tmp_path / "index.csv",))
    often = replace(PARAMS, train=replace(PARAMS.train, checkpoint_every=1))
    assert key(often, (tmp_path / "index.csv",)) == before
    other = replace(PARAMS, train=replace(PARAMS.train, seed=PARAMS.train.seed + 1))
    assert key(other, (tmp_path / "index.csv",)) != before
    (tmp_path / "index.csv").write_text("Id,Target")
    assert key(inputs=(tmp_path / "index.csv",)) != before


MADE_WITH = {"fetch.source": "local", "pack.odd_size": "crop", "split.seed": 5}


def test_a_model_tells_of_its_data_what_the_data_says_and_of_no_later_stage() -> None:
    origin = provenance.model_provenance(
        PARAMS,
        run_id="r",
        weights_sha256="w",
        inputs=[],
        vocabulary=HPA_2018,
        lineage={},
        made_with=MADE_WITH,
    )
    known = origin["params"]
    assert {key: known[key] for key in MADE_WITH} == MADE_WITH
    assert "fetch.n_images" not in known  # of another source, which params.yaml names
    assert known["loss.gamma"] == PARAMS.loss.gamma
    assert vocabulary_of(origin) == HPA_2018
    assert vocabulary_of({"labels": ["Nucleoplasm"]}) == HPA_2018  # of an earlier version
    assert {key.partition(".")[0] for key in known} == {
        "fetch", "pack", "split", "model", "loss", "augment", "train",
    }  # fmt: skip


def test_data_without_a_record_leaves_the_parameters_in_force() -> None:
    origin = provenance.model_provenance(
        PARAMS,
        run_id="r",
        weights_sha256="w",
        inputs=[],
        vocabulary=HPA_2018,
        lineage={},
        made_with={},
    )
    assert origin["params"]["fetch.source"] == PARAMS.fetch.source
    assert origin["params"]["pack.odd_size"] == PARAMS.pack.odd_size


def test_a_provenance_holds_date_and_rounds_of_its_training(tmp_path: Path) -> None:
    for name in provenance.ARCHIVES:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("metadata.json", "{}")
    rows = "\n".join(f"{step},{0.1 * step!r}," for step in range(1, 20_001))
    (tmp_path / "history.csv").write_text(f"step,val/loss,val/macro_f1\n{rows}\n")
    provenance.write_provenance(tmp_path, {"run_id": "abc"})
    written = files.read_json(tmp_path / "provenance.json")
    date = datetime.fromisoformat(written["trained_at"])
    assert timedelta(0) <= datetime.now(UTC) - date < timedelta(minutes=2)
    steps = written["history"]["step"]
    assert (steps[0], steps[-1], len(steps)) == (1, 20_000, provenance.MAX_ROUNDS)
    assert written["history"]["val/loss"][-1] == pytest.approx(2000)
    assert set(written["history"]["val/macro_f1"]) == {None}
    inside = embedded_provenance(tmp_path / "best.keras")  # it refuses more than a megabyte
    assert inside == {key: written[key] for key in ("run_id", "trained_at", "history")}


def test_tags_say_what_values_and_pixel_sizes_the_files_had() -> None:
    sizes = PixelSizes(0.3, 0.3, 0.45, packed_low=0.6, packed_high=0.6, n_unknown=2)
    found = {"found.types": ["float32", "uint16"], "fetch.depth": "camera"}
    assert provenance.image_tags(found, sizes) == {
        "data.types": "float32, uint16",
        "data.pixel_size": "0.3 to 0.45 µm",
    }
    assert provenance.image_tags({"fetch.n_images": 60}, None) == {}
