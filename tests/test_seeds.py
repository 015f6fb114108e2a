"""Independent random streams per seed and purpose."""

import numpy as np
import pytest

from hpa.seeds import stream


def draw(seed: int, *purpose: str | int) -> tuple[int, ...]:
    return tuple(stream(seed, *purpose).integers(2**63, size=4))


def test_the_same_seed_and_purpose_give_the_same_numbers() -> None:
    assert draw(7, "order", 3) == draw(7, "order", 3)


def test_streams_of_different_seeds_and_purposes_differ() -> None:
    drawn = {
        draw(seed, *purpose)
        for seed in (0, 1, 2**32 - 1)
        for purpose in ((), ("order",), ("order", 0), ("order", 1), ("id", 0), (0, "order"))
    }
    assert len(drawn) == 18


def test_the_numbers_are_the_same_on_every_machine() -> None:
    """Another formula would silently change every image and every order."""
    expected = np.random.SeedSequence(7, spawn_key=(4113142680, 3))  # CRC-32 of b"order"
    assert draw(7, "order", 3) == tuple(np.random.default_rng(expected).integers(2**63, size=4))


def test_streams_are_not_correlated() -> None:
    first, second = (stream(7, "noise", index).normal(size=20_000) for index in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03  # four standard errors of 1/sqrt(20000)


def test_a_negative_purpose_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        stream(7, "order", -1)
