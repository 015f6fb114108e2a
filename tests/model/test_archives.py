import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hpa.errors import UserError
from hpa.files import sha256
from hpa.model.archives import load_network


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


def test_the_known_archive_loads_and_answers(archive: Path) -> None:
    network = load_network(archive, digest=sha256(archive))
    assert network.predict_on_batch(np.zeros((2, 32, 32, 4))).shape == (2, 28)


def test_another_digest_is_refused(archive: Path) -> None:
    with pytest.raises(UserError, match="SHA-256 0000"):
        load_network(archive, digest="0" * 64)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"module": "os", "class_name": "system"}, "os.system"),
        ({"module": "builtins", "class_name": "eval"}, "builtins.eval"),
        ({"module": "keras.layers", "class_name": "Lambda"}, "keras.layers.Lambda"),
        ({"module": "keras.layers", "class_name": "TFSMLayer"}, "keras.layers.TFSMLayer"),
        ({"module": "kerasevil", "class_name": "Dense"}, "kerasevil.Dense"),
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
        load_network(path, digest=None)


def test_an_archive_with_more_files_or_damage_is_refused(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "more.keras"
    path.write_bytes(archive.read_bytes())
    with zipfile.ZipFile(path, "a") as more:
        more.writestr("../escape", "x")
    with pytest.raises(UserError, match="escape"):
        load_network(path, digest=None)
    path.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(UserError, match="cut or damaged"):
        load_network(path, digest=None)
    with pytest.raises(UserError, match="no such file"):
        load_network(tmp_path / "absent", digest=None)


def test_a_network_of_another_shape_is_refused(tmp_path: Path) -> None:
    images = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    keras.Model(images, keras.layers.Dense(28)(pooled)).save(tmp_path / "rgb.keras")
    with pytest.raises(UserError, match=r"\(None, 32, 32, 3\)"):
        load_network(tmp_path / "rgb.keras", digest=None)
