import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hpa.errors import UserError
from hpa.model.safe_loading import load_network
from hpa.system.files import sha256


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = keras.Input((32, 32, 4))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    path = tmp_path_factory.mktemp("archive") / "best.keras"
    keras.Model(images, keras.layers.Dense(28)(pooled)).save(path)
    return path


def changed(archive: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy an archive with another configuration."""
    path = folder / "changed.keras"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return path


def test_a_known_archive_loads_and_predicts(archive: Path) -> None:
    network = load_network(archive, digest=sha256(archive), n_channels=4, n_labels=28)
    assert network.predict_on_batch(np.zeros((2, 32, 32, 4))).shape == (2, 28)


def test_another_digest_is_refused(archive: Path) -> None:
    with pytest.raises(UserError, match="SHA-256 0000"):
        load_network(archive, digest="0" * 64, n_channels=4, n_labels=28)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"module": "os", "class_name": "system"}, "os.system"),
        ({"module": "builtins", "class_name": "eval"}, "builtins.eval"),
        ({"module": "keras.layers", "class_name": "Lambda"}, "keras.layers.Lambda"),
        ({"module": "keras.layers", "class_name": "TFSMLayer"}, "keras.layers.TFSMLayer"),
        ({"module": "kerasevil", "class_name": "Dense"}, "kerasevil.Dense"),
        ({"module": "keras.utils", "class_name": "get_file"}, "keras.utils.get_file"),
        (
            {"module": "keras.config", "class_name": "enable_unsafe_deserialization"},
            "keras.config.enable_unsafe_deserialization",
        ),
        ({"module": "builtins", "class_name": "function"}, "builtins.function"),
        ({"module": "keras.layers", "class_name": "TorchModuleWrapper"}, "TorchModuleWrapper"),
        ({"module": None, "class_name": "__lambda__"}, "None.__lambda__"),
    ],
)
def test_a_class_that_could_run_code_is_refused_before_keras_sees_it(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: Any, said: str
) -> None:
    def load(*_: object, **__: object) -> None:
        pytest.fail("Keras saw it")

    monkeypatch.setattr(keras.saving, "load_model", load)
    path = changed(archive, tmp_path, lambda config: config["config"]["layers"].append(layer))
    with pytest.raises(UserError, match=said):
        load_network(path, digest=None, n_channels=4, n_labels=28)


def test_an_archive_with_more_files_or_damage_is_refused(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "more.keras"
    path.write_bytes(archive.read_bytes())
    with zipfile.ZipFile(path, "a") as more:
        more.writestr("../escape", "x")
    with pytest.raises(UserError, match="escape"):
        load_network(path, digest=None, n_channels=4, n_labels=28)
    path.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(UserError, match="cut or damaged"):
        load_network(path, digest=None, n_channels=4, n_labels=28)
    with pytest.raises(UserError, match="no such file"):
        load_network(tmp_path / "absent", digest=None, n_channels=4, n_labels=28)


class Payload:
    """An object that runs code when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "run")


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "best.keras").write_bytes(pickle.dumps(Payload(tmp_path / "mark")))
    with pytest.raises(UserError, match="cut or damaged"):
        load_network(tmp_path / "best.keras", digest=None, n_channels=4, n_labels=28)
    assert not (tmp_path / "mark").exists()


def test_an_old_h5_model_is_refused(tmp_path: Path) -> None:
    images = keras.Input((32, 32, 4))
    network = keras.Model(images, keras.layers.Lambda(lambda x: x)(images))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.save(tmp_path / "model.h5")
    path = (tmp_path / "model.h5").rename(tmp_path / "best.keras")
    with pytest.raises(UserError, match="cut or damaged"):
        load_network(path, digest=None, n_channels=4, n_labels=28)


@pytest.mark.parametrize(
    ("member", "field", "said"),
    [("model.weights.h5", 2**40, "weights of"), ("config.json", 2**30, "a configuration of")],
)
def test_a_member_of_huge_claimed_size_is_refused_unread(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    member: str,
    field: int,
    said: str,
) -> None:
    def unpack(*_: object, **__: object) -> bytes:
        pytest.fail("it was unpacked")

    infos = zipfile.ZipFile(archive).infolist()
    next(info for info in infos if info.filename == member).file_size = field
    monkeypatch.setattr(zipfile.ZipFile, "infolist", lambda self: infos)
    monkeypatch.setattr(zipfile.ZipFile, "read", unpack)
    with pytest.raises(UserError, match=said):
        load_network(archive, digest=None, n_channels=4, n_labels=28)


def test_a_duplicate_member_is_refused(archive: Path, tmp_path: Path) -> None:
    """Readers disagree on which of the two to use."""
    path = tmp_path / "twice.keras"
    path.write_bytes(archive.read_bytes())
    with zipfile.ZipFile(path, "a") as more, pytest.warns(UserWarning, match="Duplicate name"):
        more.writestr("config.json", "{}")
    with pytest.raises(UserError, match="the files"):
        load_network(path, digest=None, n_channels=4, n_labels=28)


def test_weights_of_another_network_are_refused(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "crossed.keras"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) if name != "model.weights.h5" else b"no HDF5" * 99)
    with pytest.raises(UserError, match="that Keras can load in safe mode"):
        load_network(path, digest=None, n_channels=4, n_labels=28)


def test_a_network_of_another_shape_is_refused(tmp_path: Path) -> None:
    images = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    keras.Model(images, keras.layers.Dense(28)(pooled)).save(tmp_path / "rgb.keras")
    with pytest.raises(UserError, match=r"\(None, 32, 32, 3\)"):
        load_network(tmp_path / "rgb.keras", digest=None, n_channels=4, n_labels=28)
