"""Ensemble: a folder of networks, such as those of k folds, that predict by their mean logit.

models/fold-0/, models/fold-1/, …     as the train stage writes them
models/provenance.json                what they share, and the digests and runs of all
models/training_range.json            range of the images that any of them was trained on
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpa.data.packed.training_range import measure_training_images
from hpa.data.packed.vocabulary import vocabulary_of
from hpa.errors import UserError
from hpa.inference.models import BEST, PROVENANCE, Model
from hpa.system.files import write_json

OWN = ("train.fold", "train.seed", "train.checkpoint_every")
"""Parameters in which the networks of an ensemble may differ."""
OF_EACH = ("archives", "history", "n_epochs", "run_id", "trained_at", "weights_sha256")
"""Keys of a provenance that describe one network."""


def fold_dir(folder: Path, fold: int) -> Path:
    """Return the model folder of a fold within that of the ensemble."""
    return folder / f"fold-{fold}"


def require_whole(models: Sequence[Model], path: Path) -> None:
    """Refuse a folder of networks in which a fold is missing, or was trained otherwise.

    A file is one network, and networks of one fold, such as seeds, are an ensemble as they are.

    Raises:
        UserError: it names the folds that are missing, or what differs.
    """
    found, first = {model.fold for model in models}, models[0]
    n_folds = int(first.origin["params"].get("split.n_folds", 1))
    if path.is_file() or (len(found) == 1 and len(models) > 1):
        return
    if missing := sorted(set(range(n_folds)) - found):
        raise incomplete_error(path, missing, n_folds)
    for other in models[1:]:
        require_alike(first.origin, other.origin, path=other.path, like=f"like {first.path}")


def incomplete_error(folder: Path, missing: Sequence[int], n_folds: int) -> UserError:
    """Return the error of a folder that lacks the networks of some folds."""
    names = ", ".join(fold_dir(folder, fold).name for fold in missing)
    return UserError(
        f"{folder} is not complete: no {names}",
        expected=f"{fold_dir(folder, 0)} to {fold_dir(folder, n_folds - 1).name}, a network of "
        f"each of the {n_folds} folds",
        received=f"no {BEST} and {PROVENANCE} in {names}",
        remedy=f"train what is missing: python src/folds.py --output {folder}; for one network "
        f"alone, name its file: {fold_dir(folder, 0) / BEST}",
    )


def require_alike(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    *,
    path: Path,
    like: str,
    may_differ: Sequence[str] = OWN,
) -> None:
    """Refuse a fold with other parameters, data, labels or channels than the rest.

    Args:
        a, b: provenance of the rest, and of the fold; `may_differ` are parameters that may.
        path: of the fold's network.
        like: ends the sentence "it was not trained ...".

    Raises:
        UserError: it lists what differs.
    """
    if differing := list(_differences(a, b, may_differ)):
        raise UserError(
            f"{path} was not trained {like}",
            expected="the same parameters, data, labels and channels in every fold",
            received="\n    ".join(["", *differing]),
            remedy="train all folds into another folder: python src/folds.py --output FOLDER; or "
            f"remove {path.parent}, and the same command trains it again",
        )


def _differences(
    a: Mapping[str, Any], b: Mapping[str, Any], may_differ: Sequence[str]
) -> Iterator[str]:
    """Yield what two provenances state differently, the vocabulary in its own words."""
    for section in ("params", "data"):
        one, other = a.get(section, {}), b.get(section, {})
        for key in sorted((one.keys() & other.keys()) - set(may_differ)):
            if one[key] != other[key]:
                yield f"{key}: {_short(other[key])} there, {_short(one[key])} expected"
    one, other = ((each.get("started_from") or {}).get("sha256") for each in (a, b))
    if one and other and one != other:
        yield f"model.weights: {_short(other)} there, {_short(one)} expected"
    if difference := vocabulary_of(a).difference(vocabulary_of(b)):
        yield difference


def _short(value: object) -> str:
    return f"SHA-256 {value[:12]}" if isinstance(value, str) and len(value) == 64 else repr(value)


def write_ensemble(
    folder: Path, models: Sequence[Model], run_id: str, *, packed_dir: Path, split_dir: Path
) -> None:
    """Write `provenance.json` and `training_range.json` of a folder of networks."""
    networks = [{**model.network, "path": str(model.path.relative_to(folder))} for model in models]
    provenance = {
        **_shared([model.origin for model in models]),
        "run_id": run_id,
        "weights_sha256": " ".join(each["weights_sha256"] for each in networks),
        "trained_at": max(str(model.origin.get("trained_at", "")) for model in models),
        "networks": networks,
        "archives": {
            each["path"]: model.origin["archives"][BEST]
            for each, model in zip(networks, models, strict=True)
        },
    }
    write_json(folder / PROVENANCE, provenance)
    seen = measure_training_images(packed_dir, split_dir, *{model.fold for model in models})
    write_json(folder / "training_range.json", {"networks": networks} | seen.to_json())


def _shared(provenances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all of them say alike; of parameters, data and lineage, the keys alike."""
    first, shared = provenances[0], {}
    for key in (key for key in first if key not in OF_EACH):
        values = [each.get(key) for each in provenances]
        if all(value == first[key] for value in values):
            shared[key] = first[key]
        elif all(isinstance(value, Mapping) for value in values):
            shared[key] = _shared(values)  # type: ignore[arg-type]
    return shared
