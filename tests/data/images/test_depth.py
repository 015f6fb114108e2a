import numpy as np
import pytest

from hpa.data.images.depth import (
    RULES,
    DepthError,
    DepthRule,
    GreyPlane,
    linear,
    to_grey,
    type_in_words,
)
from hpa.seeds import stream
from support.worlds import draw_pixels

EIGHT = {name: draw_pixels(3)[..., number] for number, name in enumerate("abcd")}
"""Real channels reach well above 64 of 255, as do these."""


def deep(name: str, values: list[float], kind: str = "uint16") -> dict[str, np.ndarray]:
    return {name: np.array([values], kind)}


def levels(values: list[float], depth: str | int, kind: str = "uint16", **more: object) -> list:
    rule = DepthRule.of(depth, **more)  # type: ignore[arg-type]
    return to_grey(deep("a", values, kind), rule)["a"].pixels[0].tolist()


@pytest.mark.parametrize("name", RULES)
def test_values_of_eight_bits_never_change(name: str) -> None:
    for channel, grey in to_grey(EIGHT, DepthRule(name)).items():
        assert grey.pixels is EIGHT[channel]
        assert (grey.stored, grey.is_converted, grey.cut_fraction) == ("uint8", False, 0)


@pytest.mark.parametrize(
    "version",
    [
        lambda v: np.round(v * (4095 / 255)).astype(np.uint16),
        lambda v: v.astype(np.uint16) << 4,
        lambda v: (v.astype(np.uint16) << 4) | (v >> 4),
        lambda v: np.round(v * (4095 / 255)).astype(np.uint16) << 4,
        lambda v: np.round(v * (1023 / 255)).astype(np.uint16),
        lambda v: np.round(v * (16383 / 255)).astype(np.uint16),
        lambda v: v.astype(np.uint16) * 257,
        lambda v: v.astype(np.uint16) << 8,
        lambda v: v.astype(np.uint16),
        lambda v: v.astype(np.int16) * 16,
        lambda v: v.astype(np.int32) * 16,
        lambda v: v.astype(np.uint32) * 257,
        lambda v: (v / 255).astype(np.float32),
        lambda v: v / 255,
        lambda v: v.astype(np.float32),
        lambda v: (v * (4095 / 255)).astype(np.float32),
        lambda v: v.astype(np.float32) * 16,
    ],
)
def test_the_default_gives_back_an_image_of_eight_bits_whatever_it_was_stored_in(
    version: object,
) -> None:
    stored = {name: version(plane) for name, plane in EIGHT.items()}  # type: ignore[operator]
    for name, grey in to_grey(stored, DepthRule()).items():
        np.testing.assert_array_equal(grey.pixels, EIGHT[name])
        assert grey.is_converted
        assert (grey.cut_fraction, grey.is_coarse) == (0, False)


def test_channels_of_an_image_share_the_camera_s_range() -> None:
    """A dim channel stays dim: 255 · 900 / 4095 = 56."""
    planes = deep("bright", [0, 4001, 1000]) | deep("dim", [0, 900, 10])
    grey = to_grey(planes, DepthRule("camera"))
    assert grey["dim"].pixels[0].tolist() == [0, 56, 1]
    assert {each.limits for each in grey.values()} == {(0, 4095)}


def test_the_bits_that_a_file_states_are_the_camera_s_range() -> None:
    planes = deep("a", [0, 900, 451])
    assert to_grey(planes, DepthRule("camera"), {"a": 12})["a"].limits == (0, 4095)
    assert to_grey(planes, DepthRule("camera"), {"a": 16})["a"].limits == (0, 1023)
    assert to_grey(planes, DepthRule("camera"), {"a": 9})["a"].limits == (0, 1023)


def test_a_few_hot_pixels_do_not_darken_an_image() -> None:
    plane = stream(0, "test").integers(100, 4000, (200, 200)).astype(np.uint16)
    plane[0, 0] = 65_000
    grey = to_grey({"a": plane}, DepthRule("camera"))["a"]
    assert (grey.limits, grey.cut_fraction) == ((0, 4095), 1 / 40_000)
    assert grey.n_levels > 200


def test_faint_light_on_an_offset_is_stretched() -> None:
    plane = stream(0, "test").integers(1000, 1100, (100, 100)).astype(np.uint16)
    grey = to_grey({"a": plane}, DepthRule("camera"))["a"]
    assert grey.limits == (1000, 1099)
    assert grey.n_levels == 100


@pytest.mark.parametrize(
    "kind", ["int16", "uint16", "int32", "uint32", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("low", [-3000, 0, 7])
def test_the_default_answers_whatever_the_values_are(kind: str, low: float) -> None:
    if low < 0 and kind.startswith("u"):
        return
    for span in (0, 1, 20, 900, 30_000):
        values = low + span * stream(1, "test").random((40, 50))
        grey = to_grey({"a": values.astype(kind)}, DepthRule())["a"]
        assert (grey.pixels.dtype, grey.pixels.shape) == (np.uint8, (40, 50))
        order = np.argsort(values.astype(kind), axis=None)
        assert (np.diff(grey.pixels.ravel()[order].astype(int)) >= 0).all()
        n_values = len(np.unique(values.astype(kind)))
        assert grey.n_levels >= min(n_values, 20) or (low, kind[0]) == (0, "u")


@pytest.mark.parametrize("values", [[0, 0], [0, 1], [0, 20], [0, 255]])
def test_values_of_eight_bits_in_a_larger_type_stay_as_they_are(values: list[float]) -> None:
    for kind in ("uint16", "int16", "int32", "uint32"):
        assert levels(values, "camera", kind) == values


def test_tiny_and_huge_floating_point_values_are_not_lost() -> None:
    for scale in (1e-6, 1e9):
        values = scale * stream(2, "test").random((40, 50))
        assert to_grey({"a": values.astype(np.float32)}, DepthRule())["a"].n_levels > 200


def test_percentiles_become_black_and_white_of_each_channel() -> None:
    """Of 0 to 1000, the percentiles 10 and 90 are 100 and 900: 500 → 127.5 → 128."""
    plane = np.arange(1001, dtype=np.uint16).reshape(7, 143)
    grey = to_grey({"a": plane, "b": plane * 2}, DepthRule.of("percentile", "10 90"))
    assert (grey["a"].limits, grey["b"].limits) == ((100, 900), (200, 1800))
    assert grey["a"].pixels.ravel()[[0, 100, 500, 900, 1000]].tolist() == [0, 0, 128, 255, 255]
    assert grey["a"].cut_fraction == 200 / 1001
    signed = to_grey({"a": plane.astype(np.int32) - 5000}, DepthRule.of("percentile", "0 100"))
    assert signed["a"].limits == (-5000, -4000)


@pytest.mark.parametrize("percentiles", [(0, 99.99), (0.35, 99.65), (1, 99)])
@pytest.mark.parametrize("side", [7, 100, 512, 513])
def test_percentiles_cut_no_more_than_they_state(
    percentiles: tuple[float, float], side: int
) -> None:
    rule = DepthRule("percentile", percentiles)
    values = stream(side, "test").permutation(side * side).reshape(side, side)
    for kind in ("int32", "float32"):
        grey = to_grey({"a": values.astype(kind)}, rule)["a"]
        assert 0 <= rule.most_cut(grey.pixels.size) - grey.n_cut <= 2
    assert DepthRule("camera").most_cut(10**6) == DepthRule("percentile", (0, 100)).most_cut(1) == 0


@pytest.mark.parametrize("name", RULES)
def test_values_that_cannot_be_scaled_are_refused(name: str) -> None:
    with pytest.raises(DepthError, match=r"a: values as large as 1\.7e\+308, which are not bright"):
        to_grey(deep("a", [-1.7e308, 1.7e308], "float64"), DepthRule(name))


def test_a_plane_that_is_mostly_black_keeps_its_light_under_percentiles() -> None:
    plane = np.zeros((200, 200), np.uint16)
    plane[5, 5:7] = 900, 1800
    grey = to_grey({"a": plane}, DepthRule.of("percentile", "0 99.99"))["a"]
    assert grey.pixels[5, 5:7].tolist() == [128, 255]
    assert not to_grey({"a": plane + 7}, DepthRule.of("percentile", "0 50"))["a"].pixels[0, 0]


def test_a_constant_plane_is_black() -> None:
    for name in ("percentile", "set_percentile"):
        rule = DepthRule(name, limits={"a": (300, 300)})
        assert not to_grey(deep("a", [300, 300]), rule)["a"].pixels.any()


def test_limits_of_a_set_are_those_of_its_channels() -> None:
    rule = DepthRule("set_percentile", limits={"a": (100, 355)})
    grey = to_grey(deep("a", [0, 100, 110, 355, 400]), rule)["a"]
    assert grey.pixels[0].tolist() == [0, 0, 10, 255, 255]
    assert grey.cut_fraction == 2 / 5
    with pytest.raises(DepthError, match=r"b: 16-bit values, but .* images of 8 bits alone"):
        to_grey(deep("b", [300]), rule)


def test_white_is_scaled_half_up_and_nothing_above_it_is_cut() -> None:
    # value / 257: 128 → 0.498 → 0; 129 → 0.502 → 1; 257 → 1; 32768 → 127.5 → 128; 65535 → 255
    assert levels([0, 128, 129, 257, 32768, 65535], 65535) == [0, 0, 1, 1, 128, 255]
    # 255 · 257 / 4095 = 16.004; 255 · 128 / 4095 = 7.97; 255 · 129 / 4095 = 8.03
    assert levels([0, 128, 129, 257, 4095], 4095) == [0, 8, 8, 16, 255]
    with pytest.raises(DepthError, match="brightest, 4096, is above 4095, the white that is set"):
        levels([0, 4096], 4095)
    with pytest.raises(DepthError, match=r"signed 16-bit values below zero \(darkest -1\)"):
        levels([-1, 4], 4095, "int16")


def test_bits_are_those_that_the_file_states_else_all_of_the_type() -> None:
    assert levels([0, 32768, 65535], "bits") == [0, 128, 255]
    assert levels([0, 32767], "bits", "int16") == [0, 255]
    assert levels([0, 0.5, 1], "bits", "float32") == [0, 128, 255]
    twelve = to_grey(deep("a", [0, 4095]), DepthRule("bits"), {"a": 12})["a"]
    assert twelve.pixels[0].tolist() == [0, 255]
    with pytest.raises(DepthError, match="5000, is above 4095, the largest of the 12 bits that"):
        to_grey(deep("a", [0, 5000]), DepthRule("bits"), {"a": 12})
    with pytest.raises(DepthError, match=r"1\.5, is above 1, white in floating-point values"):
        levels([0, 1.5], "bits", "float32")


def test_a_refusal_says_what_the_file_holds() -> None:
    with pytest.raises(DepthError, match=r"a: 16-bit values \(brightest 900\), not of 8 bits"):
        levels([0, 900], "refuse")


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused_by_every_rule(name: str, value: float) -> None:
    with pytest.raises(DepthError, match=r"a: values that are not numbers .* in 1 of"):
        to_grey(deep("a", [0, value], "float32"), DepthRule(name))
    with pytest.raises(DepthError, match="a: complex64 values, not brightness"):
        to_grey(deep("a", [0, 1], "complex64"), DepthRule(name))


def test_grey_levels_count_as_few_only_if_values_were_merged() -> None:
    coarse = to_grey({"a": np.arange(3000, dtype=np.uint16).reshape(50, 60)}, DepthRule.of(65535))
    assert (coarse["a"].n_levels, coarse["a"].is_coarse) == (13, True)
    few = to_grey(deep("a", [0, 1000, 2000]), DepthRule.of(4095))["a"]
    assert (few.n_levels, few.is_coarse) == (3, False)


def test_blocks_and_tables_of_values_scale_alike() -> None:
    plane = stream(0, "test").integers(0, 60_000, (1100, 30)).astype(np.uint16)
    expected = linear(plane, (17.5, 50_000))
    np.testing.assert_array_equal(linear(plane.astype(np.uint32), (17.5, 50_000)), expected)
    np.testing.assert_array_equal(linear(plane.astype(np.float64), (17.5, 50_000)), expected)


def test_types_are_named_in_words() -> None:
    assert [type_in_words(each) for each in ("uint8", "int32", "float64")] == [
        "8-bit", "signed 32-bit", "floating-point",
    ]  # fmt: skip
    assert GreyPlane(np.zeros((1, 1), np.uint8), "uint8").is_converted is False
