"""Files are refused if both say what made them, and it differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpa.errors import UserError
from hpa.metrics.origins import (
    UNKNOWN,
    Origin,
    network_of,
    require_present_networks,
    require_same_origin,
)
from hpa.system.files import write_json

ONE = Origin(
    networks=(network_of("best.keras", {"weights_sha256": "a" * 64, "run_id": "run7"}),),
    data={"index.csv": "b" * 64, "assignment.csv": "c" * 64},
    params={"score.augmentation": "none", "score.merge": "mean_logit", "train.seed": 7},
    scores_sha256="d" * 64,
)
NAMES = ("thresholds.json", "val.npz")


def require(a: Origin, b: Origin) -> None:
    require_same_origin(a, b, names=NAMES, remedy="dvc repro")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"networks": (network_of("best.keras", {"weights_sha256": "e" * 64}),)},
            "network: best.keras aaaaaaaaaaaa of run run7 in thresholds.json, "
            "best.keras eeeeeeeeeeee of run unknown in val.npz",
        ),
        (
            {"networks": (network_of("last.keras", {"weights_sha256": "a" * 64}),)},
            "last.keras aaaaaaaaaaaa",
        ),
        ({"networks": ONE.networks * 2}, "aaaaaaaaaaaa of run run7 + best.keras"),
        ({"data": {"assignment.csv": "e" * 64}}, "SHA-256 of assignment.csv: cccccccccccc in"),
        (
            {"params": {"score.augmentation": "dihedral"}},
            "score.augmentation: none in thresholds.json, dihedral in val.npz",
        ),
        ({"scores_sha256": "e" * 64}, "SHA-256 of the val scores: dddddddddddd in thresholds.json"),
    ],
)
def test_a_difference_is_refused_with_what_each_side_says(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError) as refused:
        require(ONE, replace(ONE, **changes))  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert "thresholds.json and val.npz do not belong together" in str(refused.value)


def test_only_what_both_sides_say_is_compared() -> None:
    require(ONE, UNKNOWN)
    require(UNKNOWN, ONE)
    require(ONE, replace(ONE, params={"train.seed": 8}, thresholds_sha256="f" * 64))
    unnamed = network_of("best.keras", {})  # by an earlier version
    require(ONE, replace(ONE, networks=(unnamed,)))


def test_the_run_of_a_network_does_not_matter_if_its_weights_are_equal() -> None:
    again = network_of("best.keras", {"weights_sha256": "a" * 64, "run_id": "run8"})
    require(ONE, replace(ONE, networks=(again,)))


def test_without_runs_a_repetition_tells_the_same() -> None:
    again = network_of("best.keras", {"weights_sha256": "a" * 64, "run_id": "run8"})
    assert replace(ONE, networks=(again,)).without_runs() == ONE.without_runs() != ONE


def test_an_origin_survives_json() -> None:
    assert Origin.from_json(ONE.to_json()) == ONE


def test_scores_of_a_network_that_was_trained_again_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.keras"
    network = network_of(path.name, {"weights_sha256": "a" * 64, "run_id": "run7"}, str(path))
    origin = Origin(networks=(network,))
    require_present_networks(origin, "val.npz")  # the network is elsewhere
    write_json(tmp_path / "provenance.json", {"weights_sha256": "a" * 64, "run_id": "run8"})
    require_present_networks(origin, "val.npz")
    write_json(tmp_path / "provenance.json", {"weights_sha256": "e" * 64, "run_id": "run9"})
    with pytest.raises(UserError, match=r"aaaaaaaaaaaa of run run7 in val\.npz, .* of run run9"):
        require_present_networks(origin, "val.npz")
