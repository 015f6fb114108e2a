"""Networks on disk with their provenance. Importing this loads no Keras."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpa.config.sections import Serve
from hpa.data.packed.vocabulary import vocabulary_of
from hpa.errors import UserError
from hpa.metrics.origins import (
    Origin,
    network_of,
    networks_of,
    require_same_origin,
    require_same_vocabulary,
)
from hpa.model.archive_origin import embedded_provenance
from hpa.system.files import read_json, sha256
from hpa.vocabulary.document import Vocabulary

if TYPE_CHECKING:
    import keras

BEST, PROVENANCE = "best.keras", "provenance.json"
FILES = (BEST, PROVENANCE, "thresholds.json", "training_range.json")
"""Files that a model folder must hold."""


@dataclass(frozen=True)
class Model:
    """A `.keras` archive, and the provenance of its training."""

    path: Path
    origin: Mapping[str, Any]

    @property
    def fold(self) -> int:
        """The fold that its training left out; 0 without folds."""
        return int(self.origin["params"]["train.fold"])

    @property
    def run_id(self) -> str:
        """Id of the run that trained it."""
        return str(self.origin["run_id"])

    @property
    def backend(self) -> str:
        """Keras backend that trained it; TensorFlow if an earlier version does not say."""
        known = self.origin.get("params", {}).get("train.backend")
        return str(known or self.origin.get("lineage", {}).get("keras.backend") or "tensorflow")

    @property
    def network(self) -> dict[str, str]:
        """Its description in an `Origin`."""
        return network_of(self.path.name, self.origin, str(self.path))

    @property
    def vocabulary(self) -> Vocabulary:
        """Labels and channels that it was trained with; see `read_vocabulary_of`."""
        return read_vocabulary_of(self.origin, self.path)

    def load(self) -> "keras.Model":
        """Load the network, from uint8[B,S,S,K] to logits float32[B,C].

        Raises:
            UserError: its digest is not that of its provenance: it is damaged, or a later training
                was stopped halfway.
        """
        from hpa.model.safe_loading import load_network  # loads Keras, after its backend is chosen

        return load_network(
            self.path,
            digest=self.origin.get("archives", {}).get(self.path.name),
            n_channels=len(self.vocabulary.channels),
            n_labels=len(self.vocabulary.labels),
        )


def find_models(path: Path) -> list[Model]:
    """Return the network of a `.keras` file, or the `best.keras` of each subfolder, sorted by name.

    Raises:
        UserError: there is none, or one has no provenance or that of another training.
    """
    files = sorted(path.glob(f"[!.]*/{BEST}")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise UserError(
            f"{path} holds no model",
            expected=f"a .keras file, or a folder with <name>/{BEST} in it",
            received="a folder without" if path.is_dir() else "no such file",
            remedy="train one: dvc repro train, or python src/train.py --output FOLDER",
        )
    return [Model(file, _provenance(file)) for file in files]


def _provenance(file: Path) -> dict[str, Any]:
    """Return the provenance beside an archive, or that inside it, which must agree.

    The file beside also has the digest of the whole archive.
    """
    inside, beside = embedded_provenance(file), file.parent / PROVENANCE
    if inside is not None and not beside.is_file():
        return inside
    said: dict[str, Any] = read_json(beside)
    if inside is not None and inside["weights_sha256"] != said.get("weights_sha256"):
        raise UserError(
            f"{file} and {beside} are of two trainings",
            expected=f"weights {inside['weights_sha256'][:12]} of run {inside['run_id']}, as the "
            "archive says",
            received=f"weights {str(said.get('weights_sha256'))[:12]} of run {said.get('run_id')}",
            remedy="take both files from one training: dvc checkout, or dvc repro",
        )
    return said


def read_vocabulary_of(provenance: Mapping[str, Any], path: Path) -> Vocabulary:
    """Return labels and channels of a network by its provenance, the competition's if it says none.

    Raises:
        UserError: they are damaged.
    """
    try:
        return vocabulary_of(provenance)
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"the labels and channels of {path} cannot be read",
            expected='"vocabulary" in its provenance, as the train stage writes it',
            received=str(error),
            remedy="take the whole model folder from where it was trained",
        ) from error


def read_model_vocabulary(folder: Path) -> Vocabulary:
    """Read labels and channels of a model folder, without loading its network.

    Raises:
        UserError: the folder is incomplete, or they are damaged.
    """
    require_complete(folder)
    return read_vocabulary_of(read_json(folder / PROVENANCE), folder)


def network_files(folder: Path) -> list[str]:
    """Return the files of the networks in a model folder: one, or those of an ensemble."""
    path = folder / PROVENANCE
    networks = networks_of(BEST, read_json(path) if path.is_file() else {})
    return [each["path"] or BEST for each in networks]


def require_complete(folder: Path) -> None:
    """Refuse a model folder that lacks a file, such as a network of an ensemble."""
    files = [*network_files(folder), *FILES[1:]]
    if missing := [name for name in files if not (folder / name).is_file()]:
        remedy = "run: dvc pull, or dvc repro; or name another folder with --model"
        if len(files) > len(FILES) or any(folder.glob(f"fold-*/{BEST}")):
            remedy = f"train and evaluate what is missing: python src/folds.py --output {folder}"
        raise UserError(
            f"{folder} is not a complete model folder",
            expected=", ".join(files),
            received=f"no {', '.join(missing)}",
            remedy=remedy,
        )


def require_vocabulary(models: list[Model], data: Vocabulary, path: Path) -> None:
    """Refuse networks whose labels or channels are not those of the data in `path`.

    Raises:
        UserError: one has others; it says how they differ.
    """
    for model in models:
        require_same_vocabulary(
            data,
            model.vocabulary,
            names=(str(path), str(model.path)),
            remedy="train on these images: dvc repro train; or restore the images of the network: "
            "dvc checkout",
        )


def require_same_data(models: list[Model], index_path: Path, assignment_path: Path) -> None:
    """Refuse networks of another split, which may have trained on the present val and test images.

    Raises:
        UserError: a network was trained with another assignment, or on other packed images.
    """
    for path, what in (
        (assignment_path, "with another split, perhaps on today's test images"),
        (index_path, "on other packed images or labels"),
    ):
        found = sha256(path)
        for model in models:
            known = model.origin["data"].get(str(path))
            if known != found and (known or path == assignment_path):
                raise UserError(
                    f"{model.path} was trained {what}",
                    expected=f"{path} with SHA-256 {known}",
                    received=f"SHA-256 {found}",
                    remedy="train it again: dvc repro train; or restore its data: dvc checkout "
                    f"{path.parent}",
                )


def require_scored_by(models: list[Model], origin: Origin, scores: Path, index: Path) -> None:
    """Refuse networks other than those that made the scores, and other packed images.

    Raises:
        UserError: networks or index differ from what the scores say.
    """
    present = Origin(networks=tuple(model.network for model in models))
    name = ", ".join(str(model.path) for model in models)
    remedy = "score the present networks and images: dvc repro score"
    require_same_origin(present, origin, names=(name, str(scores)), remedy=remedy)
    if index.is_file():
        data = Origin(data={index.name: sha256(index)})
        require_same_origin(data, origin, names=(str(index), str(scores)), remedy=remedy)


def read_name_rules(folder: Path, serve: Serve) -> dict[str, str | None]:
    """Return the rules of `name_rules` for a model folder."""
    return name_rules(read_json(folder / PROVENANCE).get("params", {}), serve)


def name_rules(trained_with: Mapping[str, Any], serve: Serve) -> dict[str, str | None]:
    """Return `pattern` and `found_as` of params.yaml, else those of a model's training images."""
    return {
        key: getattr(serve, key) or trained_with.get(f"fetch.{key}")
        for key in ("pattern", "found_as")
    }
