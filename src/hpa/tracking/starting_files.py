"""Networks of earlier runs and of registered models, fetched with their provenance."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hpa.errors import UserError
from hpa.system.files import read_json, repository_root, sha256
from hpa.tracking.logged_models import WEIGHTS, download
from hpa.tracking.mlflow_store import past_run
from hpa.tracking.registered_models import SCHEME, model_folder
from hpa.tracking.run_ids import full_run_id

RUNS = "runs:/"
NETWORK = (WEIGHTS, "model/provenance.json")


def is_tracked(source: str) -> bool:
    """Tell whether a text names a network by its run or by its registered model."""
    return source.startswith((RUNS, SCHEME))


def fetch_network(source: str, folder: Path) -> Path:
    """Copy the network of `runs:/ID` or `models:/NAME@ALIAS` to a folder; return its archive.

    A run that only chose other thresholds has the network of its upstream run.

    Raises:
        UserError: the store has none, or cannot be reached.
    """
    if source.startswith(SCHEME):
        with model_folder(source) as registered:
            paths = [registered / Path(name).name for name in NETWORK]
            require_one_network(source, paths[1])
            return _copied(source, paths, folder)
    run_id: str | None = full_run_id(source.removeprefix(RUNS))
    while run_id:
        with TemporaryDirectory(prefix="hpa-network-") as temporary:
            found = [download(run_id, name, Path(temporary)) for name in NETWORK]
            paths = [path for path in found if path]
            if found[1]:
                require_one_network(source, found[1])
            if len(paths) == len(NETWORK):
                return _copied(source, paths, folder)
        run_id = past_run(run_id).tags.get("upstream_run_id")
    raise _without_network(source)


def require_one_network(source: str, provenance: Path) -> None:
    """Refuse an ensemble, which `networks` in its provenance tell.

    Raises:
        UserError: it names the networks, and the run of each.
    """
    networks = read_json(provenance).get("networks", []) if provenance.is_file() else []
    if networks:
        raise UserError(
            f"{source} is an ensemble of {len(networks)} networks",
            expected="one network: a training starts from the weights of one",
            received=", ".join(f"{each['path']} of run {each['run_id']}" for each in networks),
            remedy=f"name one of them: {RUNS}{networks[0]['run_id']}, or its file, such as "
            f"models/{networks[0]['path']}",
        )


def fetch_start(tags: Mapping[str, str], folder: Path) -> Path:
    """Copy the network that a run started from to a folder; return its archive.

    It is looked for where the run's tags say (see `hpa.training.start.start_tags`), and then in
    the run that trained it.

    Raises:
        UserError: none of them has an archive with the digest of the tags.
    """
    source, wanted = tags["started_from"], tags["started_from.sha256"]
    trained_by = f"{RUNS}{tags['started_from.run_id']}"
    tried = []
    for each in dict.fromkeys([trained_by, source] if is_tracked(source) else [source, trained_by]):
        try:
            path = fetch_network(each, folder) if is_tracked(each) else _copied_here(each, folder)
        except UserError as error:
            tried.append(f"{each}: {str(error).splitlines()[0]}")
            continue
        if (found := sha256(path)) == wanted:
            return path
        tried.append(f"{each}: SHA-256 {found}")
    raise UserError(
        "the model that the run started from is missing",
        expected=f"its archive, with SHA-256 {wanted}",
        received="\n    ".join(["", *tried]),
        remedy=f"bring it back to {source}, or restore the run that trained it",
    )


def _copied_here(source: str, folder: Path) -> Path:
    path = repository_root() / source
    archive = path if path.suffix == ".keras" else path / Path(WEIGHTS).name
    beside = [archive.with_name(Path(name).name) for name in NETWORK[1:]]
    return _copied(source, [archive, *filter(Path.is_file, beside)], folder)


def _copied(source: str, paths: list[Path], folder: Path) -> Path:
    if not all(path.is_file() for path in paths):
        raise _without_network(source)
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copy(path, folder)
    return folder / paths[0].name


def _without_network(source: str) -> UserError:
    return UserError(
        f"{source} has no network",
        expected=f"a model with {' and '.join(Path(name).name for name in NETWORK)}",
        received="a run or model without them",
        remedy="name a run whose training is finished, or a registered model: make ui lists them",
    )
