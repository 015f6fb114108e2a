"""Conversion of stored values to 8-bit grey, by an explicit rule; values of 8 bits never change.

    camera          the range of the camera is kept: the fewest of 8, 10, 12, 14 and 16 bits, or as
                    many as the file states, that hold the brightest value of the image become
                    0 to 255, in all channels alike; of floating-point values 1, 255 or such a range
    percentile      linear between two percentiles of each channel of each image
    set_percentile  linear between two percentiles of each channel over all images
    bits            as many bits as the file states, else all of the type; 1 is white in
                    floating-point values. Values beyond are refused
    white           from 0 to a stated value. Values beyond are refused
    refuse          other than 8 bits is refused

`camera` never fails. If a few hot pixels, an offset or faint light would leave the image fewer than
32 grey levels, they are cut, or the channels are stretched as by `percentile`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from hpa.data.images.opened import InvalidImageError

DEFAULT = "camera"
CAMERA_BITS = (8, 10, 12, 14, 16)
MIN_LEVELS = 32
"""Grey levels below which fine structures are lost."""
MOST = 1e300
"""Larger values cannot be scaled in 64 bits."""
ROWS_AT_ONCE = 512
Limits = tuple[float, float]
"""Values that become black and white."""


class DepthError(InvalidImageError):
    """Error for values of a channel that a rule refuses: `channel` and `reason`."""

    def __init__(self, channel: str, reason: str) -> None:
        super().__init__(f"{channel}: {reason}")
        self.channel, self.reason = channel, reason


@dataclass(frozen=True)
class DepthRule:
    """Rule of conversion.

    Attributes:
        name: a key of `RULES`.
        percentiles: those that become black and white, from 0 to 100.
        white: the value that becomes white, of rule `white`.
        limits: those of each channel, of rule `set_percentile`.
    """

    name: str = DEFAULT
    percentiles: tuple[float, float] = (0, 99.99)
    white: float | None = None
    limits: Mapping[str, Limits] = field(default_factory=dict)

    @classmethod
    def of(
        cls, depth: str | int, percentiles: str = "", limits: Mapping[str, Limits] | None = None
    ) -> "DepthRule":
        """Return the rule that `fetch.depth` and `fetch.percentiles` state.

        >>> DepthRule.of(4095).name, DepthRule.of("percentile", "1 99").percentiles
        ('white', (1.0, 99.0))
        """
        name, white = (depth, None) if isinstance(depth, str) else ("white", float(depth))
        low, high = map(float, percentiles.split()) if percentiles else cls.percentiles
        return cls(name, (low, high), white, limits or {})

    def most_cut(self, n_pixels: int) -> int:
        """Return how many pixels of an image the rule cuts by design, at most."""
        low, high = self.percentiles
        shares = (low, 100 - high) if self.name.endswith("percentile") else ()
        return sum(math.ceil(share / 100 * n_pixels) for share in shares)


@dataclass(frozen=True, eq=False)
class GreyPlane:
    """A channel in 8-bit grey, and how it became so.

    Attributes:
        pixels: uint8[H,W].
        stored: type of the values in the file, such as `uint16`.
        limits: the values that became black and white; None if the values are as stored.
        n_cut: number of pixels that were darker than black or brighter than white.
        n_levels: number of grey levels in use.
        is_coarse: whether values that differ in the file are equal now, and fewer than
            `MIN_LEVELS` levels are in use.
    """

    pixels: np.ndarray
    stored: str
    limits: Limits | None = None
    n_cut: int = 0
    n_levels: int = 256
    is_coarse: bool = False

    @property
    def cut_fraction(self) -> float:
        """Share of pixels that were cut."""
        return self.n_cut / self.pixels.size

    @property
    def is_converted(self) -> bool:
        """Whether the file holds other than 8 bits."""
        return self.limits is not None


def to_grey(
    planes: Mapping[str, np.ndarray], rule: DepthRule, bits: Mapping[str, int | None] | None = None
) -> dict[str, GreyPlane]:
    """Convert the channels of an image, [H,W] of any real type, to 8-bit grey.

    Args:
        planes: the values by the name of the channel.
        rule: see `DepthRule`.
        bits: the number of bits that hold signal, where the file states it.

    Raises:
        DepthError: values are not finite, or the rule refuses them.
    """
    other = {
        name: plane.astype(np.float32) if plane.dtype == np.float16 else plane  # it holds no 65535
        for name, plane in planes.items()
        if plane.dtype != np.uint8
    }
    for name, plane in other.items():
        _require_numbers(name, plane)
    limits = RULES[rule.name](other, rule, bits or {}) if other else {}
    return {
        name: _converted(other[name], limits[name]) if name in other else GreyPlane(plane, "uint8")
        for name, plane in planes.items()
    }


def type_in_words(stored: str) -> str:
    """Name a type of values for people.

    >>> type_in_words("uint16"), type_in_words("int16"), type_in_words("float32")
    ('16-bit', 'signed 16-bit', 'floating-point')
    """
    kind = np.dtype(stored)
    if kind.kind == "f":
        return "floating-point"
    return f"{'signed ' * (kind.kind == 'i')}{8 * kind.itemsize}-bit"


def _require_numbers(name: str, plane: np.ndarray) -> None:
    if plane.dtype.kind not in "uif":
        raise DepthError(name, f"{plane.dtype} values, not brightness")
    if plane.dtype.kind == "f" and not (finite := np.isfinite(plane)).all():
        n_wrong = finite.size - np.count_nonzero(finite)
        where = f"in {n_wrong:,} of {finite.size:,} pixels"
        raise DepthError(name, f"values that are not numbers (NaN or infinite) {where}")
    if plane.dtype == np.float64 and (most := float(np.abs(plane).max())) > MOST:
        raise DepthError(name, f"values as large as {most:g}, which are not brightness")


def _converted(plane: np.ndarray, limits: Limits) -> GreyPlane:
    pixels = linear(plane, limits)
    n_levels = int(np.count_nonzero(cv2.calcHist([pixels], [0], None, [256], [0, 256])))
    n_cut = np.count_nonzero(plane < limits[0]) + np.count_nonzero(plane > limits[1])
    return GreyPlane(
        pixels,
        stored=str(plane.dtype.newbyteorder("=")),
        limits=limits,
        n_cut=int(n_cut),
        n_levels=n_levels,
        is_coarse=n_levels < MIN_LEVELS and len(np.unique(plane)) > n_levels,
    )


def linear(plane: np.ndarray, limits: Limits) -> np.ndarray:
    """Map black to 0 and white to 255, rounding half up; black altogether if they are equal."""
    black, white = limits
    if white <= black:
        return np.zeros(plane.shape, np.uint8)

    def scaled(values: np.ndarray) -> np.ndarray:
        levels = (values.astype(np.float64) - black) * 255 / (white - black)
        return np.floor(np.clip(levels, 0, 255) + 0.5).astype(np.uint8)

    convert = scaled
    if is_counted(plane.dtype):  # the same for each value
        lowest, highest = int(plane.min()), int(plane.max())
        table = scaled(np.arange(lowest, highest + 1))

        def convert(values: np.ndarray) -> np.ndarray:
            return table[values.astype(np.int32) - lowest]

    pixels = np.empty(plane.shape, np.uint8)
    for start in range(0, len(plane), ROWS_AT_ONCE):
        pixels[start : start + ROWS_AT_ONCE] = convert(plane[start : start + ROWS_AT_ONCE])
    return pixels


def _refused(
    planes: Mapping[str, np.ndarray], rule: DepthRule, bits: Mapping[str, int | None]
) -> dict[str, Limits]:
    name, plane = next(iter(planes.items()))
    kind = type_in_words(str(plane.dtype))
    raise DepthError(name, f"{kind} values (brightest {plane.max():g}), not of 8 bits")


def _by_white(
    planes: Mapping[str, np.ndarray], rule: DepthRule, bits: Mapping[str, int | None]
) -> dict[str, Limits]:
    return {
        name: _checked(name, plane, float(rule.white or 1), "the white that is set (depth)")
        for name, plane in planes.items()
    }


def _by_bits(
    planes: Mapping[str, np.ndarray], rule: DepthRule, bits: Mapping[str, int | None]
) -> dict[str, Limits]:
    return {
        name: _checked(name, plane, *_stated_white(plane.dtype, bits.get(name)))
        for name, plane in planes.items()
    }


def _stated_white(kind: np.dtype, bits: int | None) -> tuple[float, str]:
    if kind.kind == "f":
        return 1.0, "white in floating-point values"
    whole = 8 * kind.itemsize - (kind.kind == "i")
    if bits and bits < whole:
        return 2.0**bits - 1, f"the largest of the {bits} bits that the file states"
    return 2.0**whole - 1, f"the largest of {whole} bits"


def _checked(name: str, plane: np.ndarray, white: float, why: str) -> Limits:
    kind = type_in_words(str(plane.dtype))
    if (brightest := float(plane.max())) > white:
        raise DepthError(
            name, f"{kind} values whose brightest, {brightest:g}, is above {white:g}, {why}"
        )
    if (darkest := float(plane.min())) < 0:
        raise DepthError(name, f"{kind} values below zero (darkest {darkest:g})")
    return 0.0, white


def _by_percentiles(
    planes: Mapping[str, np.ndarray], rule: DepthRule, bits: Mapping[str, int | None]
) -> dict[str, Limits]:
    return {name: _percentiles(plane, rule.percentiles) for name, plane in planes.items()}


def _percentiles(plane: np.ndarray, percentiles: Sequence[float]) -> Limits:
    """Return two percentiles; the extremes if these are equal, as in a mostly black plane."""
    if is_counted(plane.dtype):
        return limits_of(*count_values(plane), percentiles)
    black, white = map(float, np.percentile(plane, percentiles))
    return (black, white) if white > black else (float(plane.min()), float(plane.max()))


def is_counted(kind: np.dtype) -> bool:
    """Tell whether values are few enough to count each."""
    return kind.kind in "ui" and kind.itemsize <= 2


def count_values(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a plane of up to 16 bits, ascending, and how often each occurs."""
    lowest, highest = int(plane.min()), int(plane.max())
    counts = np.zeros(highest - lowest + 1, np.int64)
    for start in range(0, len(plane), ROWS_AT_ONCE):
        places = plane[start : start + ROWS_AT_ONCE].ravel().astype(np.int32) - lowest
        counts += np.bincount(places, minlength=len(counts))
    found = np.flatnonzero(counts)
    return found + lowest, counts[found]


def limits_of(values: np.ndarray, counts: np.ndarray, percentiles: Sequence[float]) -> Limits:
    """Return two percentiles of counted values, interpolated linearly as numpy does.

    >>> limits_of(np.array([0, 10]), np.array([1, 1]), (25, 100))
    (2.5, 10.0)
    """
    ends = np.cumsum(counts)
    found = []
    for each in percentiles:
        place = each / 100 * (ends[-1] - 1)
        ranks = np.floor(place), np.ceil(place)
        below, above = (float(values[np.searchsorted(ends, r, side="right")]) for r in ranks)
        found.append(below + (above - below) * float(place - ranks[0]))
    black, white = found
    return (black, white) if white > black else (float(values[0]), float(values[-1]))


def _by_set(
    planes: Mapping[str, np.ndarray], rule: DepthRule, bits: Mapping[str, int | None]
) -> dict[str, Limits]:
    for name, plane in planes.items():
        if name not in rule.limits:
            kind = type_in_words(str(plane.dtype))
            raise DepthError(
                name, f"{kind} values, but set_percentile was set by images of 8 bits alone"
            )
    return {name: rule.limits[name] for name in planes}


def _by_camera(
    planes: Mapping[str, np.ndarray], rule: DepthRule, bits: Mapping[str, int | None]
) -> dict[str, Limits]:
    """Return the limits of the camera's range, one for all channels of a type."""
    limits: dict[str, Limits] = {}
    for kind in {plane.dtype for plane in planes.values()}:
        alike = {name: plane for name, plane in planes.items() if plane.dtype == kind}
        stated = {bits.get(name) for name in alike}
        limits |= _camera_range(alike, stated.pop() if len(stated) == 1 else None, rule)
    return limits


def _camera_range(
    planes: Mapping[str, np.ndarray], bits: int | None, rule: DepthRule
) -> dict[str, Limits]:
    brightest = max(float(plane.max()) for plane in planes.values())
    black = min(0.0, *(float(plane.min()) for plane in planes.values()))
    is_float = next(iter(planes.values())).dtype.kind == "f"
    n_empty = None if black < 0 or (is_float and brightest <= 1) else _empty_bits(planes)

    def white_of(brightest: float) -> float:
        return _float_white(brightest) if n_empty is None else _white(brightest, bits, n_empty)

    if n_empty is not None and brightest <= 255:  # the values are those of an 8-bit file
        return dict.fromkeys(planes, (0.0, 255.0))
    inner = [_percentiles(plane, (0.01, 99.99)) for plane in planes.values()]
    for white in (white_of(brightest), white_of(max(high for _, high in inner))):
        if max(high - low for low, high in inner) * 255 >= MIN_LEVELS * (white - black):
            return dict.fromkeys(planes, (black, white))
    return _by_percentiles(planes, rule, {})


def _empty_bits(planes: Mapping[str, np.ndarray]) -> int | None:
    """Return how many of the lowest bits no value of 16 bits uses; None if others occur."""
    union = 0
    for plane in planes.values():
        if float(plane.max()) >= 2**16 or (
            plane.dtype.kind == "f" and (plane != np.floor(plane)).any()
        ):
            return None
        union |= int(np.bitwise_or.reduce(plane.astype(np.uint16, copy=False), axis=None))
    return max((union & -union).bit_length() - 1, 0)


def _white(brightest: float, bits: int | None, n_empty: int) -> float:
    """Return the largest value of a range of whole numbers that may fill its upper bits alone.

    >>> _white(3000, None, 0), _white(4080, None, 4), _white(900, 12, 0)
    (4095.0, 4080.0, 4095.0)
    """
    stated = (bits,) if bits and bits < CAMERA_BITS[-1] else ()
    n_bits = next(each for each in (*stated, *CAMERA_BITS) if 2**each > brightest)
    if n_empty > 8:  # a mask of few values
        n_empty = 0
    return float((2 ** max(n_bits - n_empty, 8) - 1) << n_empty)


def _float_white(brightest: float) -> float:
    ranges = (1.0, *(2.0**each - 1 for each in CAMERA_BITS))
    return next((each for each in ranges if each >= brightest), brightest)


RULES: dict[
    str,
    Callable[[Mapping[str, np.ndarray], DepthRule, Mapping[str, int | None]], dict[str, Limits]],
] = {
    "camera": _by_camera,
    "percentile": _by_percentiles,
    "set_percentile": _by_set,
    "bits": _by_bits,
    "white": _by_white,
    "refuse": _refused,
}
"""Rules by name: the limits of each channel."""
