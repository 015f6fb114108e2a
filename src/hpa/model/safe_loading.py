"""Safe loading of `.keras` archives: checked before Keras reads them, never executed.

Keras' safe mode rejects lambdas, but a configuration may still name any class that Python can
import. So an archive must first contain exactly three files of plausible size, name only classes
of keras, and match its known digest.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from hpa.errors import UserError
from hpa.system.files import sha256

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
MAX_CONFIG_BYTES = 16 * 2**20
MAX_WEIGHTS_BYTES = 4 * 2**30
"""Far above any network for these images; a malicious archive may claim any size."""
REFUSED_CLASSES = {"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
"""Layers of keras that run code which the archive contains or refers to."""


def load_network(path: Path, *, digest: str | None, n_channels: int, n_labels: int) -> keras.Model:
    """Load a network from uint8[B,S,S,K] to logits float32[B,C], in inference mode.

    Args:
        path: a `.keras` archive.
        digest: the SHA-256 that it must have; None if it is unknown.
        n_channels, n_labels: K and C that it must have, by its provenance.

    Raises:
        UserError: the archive is missing, has another digest, is damaged, names code outside
            keras, or contains another kind of network.
    """
    if not path.is_file():
        raise _refused(path, "a .keras archive", "no such file")
    if digest is not None and (found := sha256(path)) != digest:
        raise _refused(path, f"SHA-256 {digest} as in provenance.json", f"SHA-256 {found}")
    if problem := _problem(path):
        raise _refused(path, "an archive of keras' own layers and their weights", problem)
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a crafted archive can make Keras raise anything
        problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise _refused(path, "an archive that Keras can load in safe mode", problem) from error
    expected = f"one input [B,S,S,{n_channels}] and one output [B,{n_labels}]"
    if not _fits(network, n_channels, n_labels):
        shapes = f"{network.input_shape} and {network.output_shape}"
        raise _refused(path, expected, shapes)
    return network


def _problem(path: Path) -> str | None:
    """Return the reason to refuse an archive, or None; Keras does not read it."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if len(archive.infolist()) != len(MEMBERS) or set(sizes) != MEMBERS:
                return f"the files {', '.join(sorted(sizes)) or 'none'}"
            if sizes["config.json"] > MAX_CONFIG_BYTES:
                return f"a configuration of {sizes['config.json']:,} bytes"
            if sizes["model.weights.h5"] > MAX_WEIGHTS_BYTES:
                return f"weights of {sizes['model.weights.h5']:,} bytes"
            config = json.loads(archive.read("config.json"))
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, RecursionError) as error:
        return f"{path.stat().st_size} bytes, cut or damaged: {error}"
    foreign = sorted({name for name in _classes(config) if not _is_harmless(name)})
    return f"the classes {', '.join(foreign)}" if foreign else None


def _classes(config: Any) -> Iterator[str]:
    """Yield every class that a configuration names, as `module.Class`."""
    waiting = [config]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if "class_name" in each:
                yield f"{each.get('module')}.{each['class_name']}"
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _is_harmless(name: str) -> bool:
    """Return whether a class is a part of a network from keras itself, or a plain value.

    Not all of keras is harmless: `keras.utils.get_file` downloads, and
    `keras.config.enable_unsafe_deserialization` switches safe mode off.
    """
    module, _, class_name = name.rpartition(".")
    return name in _VALUES or (module in _MODULES and class_name not in REFUSED_CLASSES)


_MODULES = {"keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints"}
_VALUES = {
    "keras.DTypePolicy",
    "keras.Sequential",
    "keras.src.models.functional.Functional",
    "keras.src.models.sequential.Sequential",
    "None.__keras_tensor__",
    "None.__tuple__",
    "None.__tensor__",
    "None.__numpy__",
    "None.__slice__",
    "builtins.dict",
}
"""Containers of layers, and plain values that Keras serialises like classes."""


def _fits(network: keras.Model, n_channels: int, n_labels: int) -> bool:
    try:
        entrance, exit_ = tuple(network.input_shape), tuple(network.output_shape)
    except (AttributeError, TypeError, ValueError):
        return False
    square = len(entrance) == 4 and entrance[1] == entrance[2] is not None
    return square and entrance[3] == n_channels and exit_[1:] == (n_labels,)


def _refused(path: Path, expected: str, received: str) -> UserError:
    return UserError(
        f"{path} is refused",
        expected=expected,
        received=received,
        remedy="take the whole model folder from where it was trained: dvc pull, or dvc repro",
    )
