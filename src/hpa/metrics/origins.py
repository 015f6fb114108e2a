"""Origin of scores, thresholds and test predictions: what made them, and whether two fit together.

Each file carries the origin of its inputs and adds its own part. Files of earlier versions and of
other programs say less: only what both sides say is compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from hpa.errors import UserError
from hpa.system.files import read_json
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import Labels

SCORE_KEYS = ("score.augmentation", "score.merge")
Words = TypeVar("Words", Labels, Channels, Vocabulary)


@dataclass(frozen=True)
class Origin:
    """Description of what made a file; an empty field is unknown.

    Attributes:
        networks: `file`, `weights_sha256`, `run_id` and `path` of each network.
        data: SHA-256 of `index.csv`, the packed images, and of `assignment.csv`, their split.
        params: parameters of the stages so far, by dotted key.
        scores_sha256: of the val scores that the thresholds were fitted to (`Scores.digest`).
        thresholds_sha256: of the thresholds (`thresholds_digest`).
    """

    networks: tuple[Mapping[str, str], ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    scores_sha256: str = ""
    thresholds_sha256: str = ""

    def plus(self, params: Mapping[str, Any]) -> "Origin":
        """Return the origin of what a stage makes of a file, with that stage's parameters."""
        return replace(self, params={**self.params, **params})

    def without_runs(self) -> "Origin":
        """Return the origin without ids of runs, so that a repetition gives the same bytes."""
        return replace(self, networks=tuple({**each, "run_id": ""} for each in self.networks))

    def to_json(self) -> dict[str, Any]:
        """Return a document for `json.dump`."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Origin":
        """Read the document of `to_json`; absent and unknown keys are ignored.

        >>> Origin.from_json({"networks": [], "later": 1}) == Origin()
        True

        Raises:
            ValueError: a value is of another type.
        """
        try:
            return cls(
                networks=tuple(dict(each) for each in document.get("networks", ())),
                data=dict(document.get("data", {})),
                params=dict(document.get("params", {})),
                scores_sha256=str(document.get("scores_sha256", "")),
                thresholds_sha256=str(document.get("thresholds_sha256", "")),
            )
        except (TypeError, AttributeError) as error:
            raise ValueError(f"the origin is malformed: {error}") from error


UNKNOWN = Origin()


def network_of(file: str, provenance: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Describe a network by its file and the provenance of its training."""
    known = {key: str(provenance.get(key) or "") for key in ("weights_sha256", "run_id")}
    return {"file": file, **known, "path": path}


def networks_of(file: str, provenance: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    """Describe the networks of a model folder: those of an ensemble, which it lists, or its one."""
    return tuple(provenance.get("networks") or [network_of(file, provenance)])


def require_same_origin(a: Origin, b: Origin, *, names: tuple[str, str], remedy: str) -> None:
    """Refuse two files that were not made by one network on the same data in the same way.

    Args:
        a, b: what the two files say.
        names: of the files, for the message.
        remedy: of the user.

    Raises:
        UserError: both say something, and it differs.
    """
    differing = [
        f"{what}: {one} in {names[0]}, {other} in {names[1]}"
        for what, one, other in _differences(a, b)
    ]
    if differing:
        raise UserError(
            f"{names[0]} and {names[1]} do not belong together",
            expected="one network, the same data and the same settings behind both",
            received="\n    ".join(["", *differing]),
            remedy=remedy,
        )


def require_same_vocabulary(a: Words, b: Words, *, names: tuple[str, str], remedy: str) -> None:
    """Refuse labels or channels that differ by name or order: their columns mean other things.

    Args:
        a, b: of two files.
        names: of the files, for the message.
        remedy: of the user.

    Raises:
        UserError: they differ; it says how.
    """
    if difference := a.difference(b):
        raise UserError(
            f"{names[0]} and {names[1]} are of different vocabularies",
            expected="labels and channels of the same names in the same order",
            received=f"in {names[1]}, compared with {names[0]}: {difference}",
            remedy=remedy,
        )


def require_present_networks(origin: Origin, name: str) -> None:
    """Refuse a file of networks that were trained again since; absent networks are not checked.

    Raises:
        UserError: the provenance beside a network tells of another training.
    """
    for network in origin.networks:
        provenance = Path(network.get("path") or "-").parent / "provenance.json"
        if provenance.is_file():
            present = network_of(network["file"], read_json(provenance))
            require_same_origin(
                Origin(networks=(network,)),
                Origin(networks=(present,)),
                names=(name, str(provenance)),
                remedy="score the present network: dvc repro, or python src/score.py, then "
                "threshold.py, explain.py and evaluate.py",
            )


def _differences(a: Origin, b: Origin) -> Iterator[tuple[str, str, str]]:
    """Yield what differs, and what each side says."""
    if _weights(a) and _weights(b) and _weights(a) != _weights(b):
        yield "network", _described(a), _described(b)
    for key in a.data.keys() & b.data.keys():
        if a.data[key] != b.data[key]:
            yield f"SHA-256 of {key}", a.data[key][:12], b.data[key][:12]
    for key in SCORE_KEYS:
        if key in a.params and key in b.params and a.params[key] != b.params[key]:
            yield key, str(a.params[key]), str(b.params[key])
    for name in ("scores_sha256", "thresholds_sha256"):
        one, other = getattr(a, name), getattr(b, name)
        if one and other and one != other:
            what = "val scores" if name == "scores_sha256" else "thresholds"
            yield f"SHA-256 of the {what}", one[:12], other[:12]


def _weights(origin: Origin) -> list[tuple[str, str]]:
    """Return file and weights of each network; empty if one is unknown."""
    found = [(each.get("file", ""), each.get("weights_sha256", "")) for each in origin.networks]
    return sorted(found) if all(weights for _, weights in found) else []


def _described(origin: Origin) -> str:
    return " + ".join(
        f"{each['file']} {each['weights_sha256'][:12]} of run {each.get('run_id') or 'unknown'}"
        for each in origin.networks
    )
