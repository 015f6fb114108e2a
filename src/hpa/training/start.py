"""The older model that a training starts from: found, verified, and described.

`model.weights` names it: a model folder, a `.keras` file, `runs:/ID` or `models:/NAME@ALIAS`. The
network is the same for a whole process, whatever happens to its source meanwhile.
"""

import atexit
import shutil
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from hpa.config.params import Params
from hpa.errors import UserError
from hpa.inference.models import BEST, PROVENANCE, Model, find_models
from hpa.system.files import repository_root, sha256
from hpa.tracking.address import tracking_uri
from hpa.tracking.starting_files import fetch_network, is_tracked, require_one_network
from hpa.vocabulary.document import Vocabulary

if TYPE_CHECKING:
    import keras

    from hpa.model.transfer import Taken


@dataclass(frozen=True, eq=False)
class Start:
    """An older model as the start of a training.

    Attributes:
        source: as `model.weights` names it.
        model: its archive, and its provenance.
        sha256: of the archive.
    """

    source: str
    model: Model
    sha256: str

    @cached_property
    def network(self) -> "keras.Model":
        """The network, loaded once.

        Raises:
            UserError: its digest is not that of its provenance, or it is of another kind.
        """
        from hpa.model.transfer import has_max_pooling
        from hpa.model.weights import weights_sha256

        network = self.model.load()
        problem = ""
        try:
            has_max_pooling(network)
        except ValueError as error:
            problem = str(error)
        origin, found = self.model.origin, weights_sha256(network)
        known = self.model.path.name in origin.get("archives", {})  # and verified by `load`
        if not known and found != origin.get("weights_sha256"):
            problem = f"weights with SHA-256 {found}, not those of its provenance"
        if problem:
            raise UserError(
                f"model.weights: {self.source} is refused",
                expected="a network as this program trained and saved it",
                received=problem,
                remedy="take the whole model folder from where it was trained",
            )
        return network

    def taken(self, params: Params, vocabulary: Vocabulary) -> "Taken":
        """Return what a training takes over.

        Raises:
            UserError: no channel has a name of the older model's.
        """
        from hpa.model.transfer import Taken, has_max_pooling

        old = self.model.vocabulary
        same = has_max_pooling(self.network) == (params.model.pooling == "average_max")
        taken = Taken.plan(vocabulary, old, features=same)
        if all(place is None for place in taken.channels):
            raise UserError(
                "model.weights: weights of other channels without a rule",
                expected=f"a channel of the older model: {', '.join(old.channels.names)}",
                received=f"{', '.join(vocabulary.channels.names)} in the data",
                remedy="name the channels in fetch.channels as the older model names those of the "
                "same stains, or start from another model",
            )
        return taken

    def load_into(self, network: "keras.Model", params: Params, vocabulary: Vocabulary) -> None:
        """Copy what is taken over to a new network."""
        from hpa.model.transfer import transfer

        transfer(
            network,
            self.network,
            self.taken(params, vocabulary),
            channels=vocabulary.channels,
            old_channels=self.model.vocabulary.channels,
            fourth_channel=params.model.fourth_channel,
        )

    def describe(self, params: Params, vocabulary: Vocabulary) -> dict[str, Any]:
        """Return the origin for the provenance of a training."""
        from hpa.model.weights import weights_sha256

        taken = self.taken(params, vocabulary)

        def names(known: tuple[str, ...], places: tuple[int | None, ...]) -> list[str]:
            return [name for name, place in zip(known, places, strict=True) if place is not None]

        return {
            "source": self.source,
            "run_id": str(self.model.origin.get("run_id") or ""),
            "weights_sha256": weights_sha256(self.network),
            "sha256": self.sha256,
            "taken": str(taken),
            "channels": names(vocabulary.channels.names, taken.channels),
            "labels": names(vocabulary.labels.names, taken.labels),
        }


def started_from(params: Params, vocabulary: Vocabulary) -> dict[str, Any] | None:
    """Return the origin of the first weights (see `Start.describe`); None without an older model.

    Raises:
        UserError: the older model is missing, damaged, or of other channels.
    """
    start = start_of(params.model.weights)
    return start.describe(params, vocabulary) if start else None


def start_tags(origin: dict[str, Any] | None) -> dict[str, str]:
    """Return the tags of a run that starts from an older model (see `started_from`)."""
    if origin is None:
        return {}
    keys = ("run_id", "weights_sha256", "sha256", "taken")
    tags = {f"started_from.{key}": str(origin[key]) for key in keys}
    return {"started_from": origin["source"], **tags}


def start_of(weights: str) -> Start | None:
    """Return the older model that `model.weights` names; None for any other weights.

    Raises:
        UserError: it is missing or damaged, or the store cannot be reached.
    """
    return _start_of(weights, repository_root(), tracking_uri() if is_tracked(weights) else "")


@lru_cache(maxsize=8)
def _start_of(weights: str, root: Path, store: str) -> Start | None:
    path = _fetched(weights) if is_tracked(weights) else root / weights
    if path.suffix != ".keras":
        require_one_network(weights, path / PROVENANCE)
        path = path / BEST
        if not path.is_file():
            return None
    model = find_models(path)[0]
    return Start(weights, model, sha256(path))


def _fetched(weights: str) -> Path:
    """Return the archive in a temporary folder, removed when the process ends."""
    folder = mkdtemp(prefix="hpa-start-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return fetch_network(weights, Path(folder))


def require_kept(weights: str, model_dir: Path) -> None:
    """Refuse to start from the folder that the training will replace.

    Raises:
        UserError: `model.weights` names `model_dir`, or a file in it.
    """
    if is_tracked(weights):
        return
    named, replaced = (repository_root() / weights).resolve(), model_dir.resolve()
    if named == replaced or named.parent == replaced:
        raise UserError(
            "model.weights names the folder that this training replaces",
            expected="a copy of the older model in a folder of its own",
            received=f"{weights!r}, while the new model goes to {model_dir}",
            remedy=f"copy it first: cp -r {model_dir} pretrained/NAME, then set model.weights to "
            "pretrained/NAME; or name its run: runs:/ID",
        )
