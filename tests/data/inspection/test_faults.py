"""Faults of pictures: each is found where it is, and nowhere else."""

import cv2
import numpy as np
import pytest

from hpa.data.inspection.faults import (
    BAR,
    BLACK,
    BLANK,
    BORDER,
    HOT,
    SAME,
    WHITE,
    blurred,
    faults,
)
from support.worlds import draw_pixels

NAMES = ("red", "green")


def planes() -> list[np.ndarray]:
    """Two channels of discs, a little blurred as by optics."""
    return [cv2.GaussianBlur(each, (0, 0), 1) for each in cv2.split(draw_pixels(3, 96, 2))]


def altered(kind: str) -> list[np.ndarray]:
    red, green = planes()
    if kind == BLANK:
        green[:] = 7
    elif kind == SAME:
        green = red.copy()
    elif kind == WHITE:
        green[20:40, 20:40] = 255  # 400 of 9,216 pixels
    elif kind == BLACK:
        red, green = np.zeros_like(red), np.zeros_like(green)
        for plane in (red, green):
            plane[40:46, 40:46] = cv2.circle(np.zeros((6, 6), np.uint8), (3, 3), 2, 200, -1)
        green[43, 43] = 90
    elif kind == BORDER:
        red[:5], green[:5] = 30, 0
    elif kind == BAR:
        green[80:82, 50:90] = 255
    elif kind == HOT:
        green //= 4
        green[10, 10] = green[50, 70] = 255
    return [red, green]


@pytest.mark.parametrize("kind", [BLANK, SAME, WHITE, BLACK, BORDER, BAR, HOT])
def test_a_fault_is_named_and_no_other(kind: str) -> None:
    assert faults(planes(), NAMES, framed=False) == {}
    found = faults(altered(kind), NAMES, framed=False)
    assert list(found) == [kind]


def test_a_black_border_is_usual_around_cells_that_are_cut_out() -> None:
    cut = [np.pad(plane, 12) for plane in planes()]
    assert list(faults(cut, NAMES, framed=False)) == [BORDER]
    assert faults(cut, NAMES, framed=True) == {}


def test_vesicles_are_not_hot_pixels() -> None:
    dots = np.zeros((64, 64), np.uint8)
    dots[8::16, 8::16] = 255
    assert HOT not in faults([cv2.GaussianBlur(dots, (0, 0), 1) * 4], ["green"], framed=False)


def test_an_image_far_less_sharp_than_the_others_is_out_of_focus() -> None:
    focus = np.random.default_rng(0).normal(0, 0.1, (30, 2))
    focus[7, 1] = -4
    focus[8, 0] = np.nan  # a blank channel has no focus
    assert blurred(focus, NAMES) == {7: "green"}
    assert blurred(focus[:10], NAMES) == {}  # ten images have no usual focus
