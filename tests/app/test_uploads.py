import pytest

from hpa.app.uploads import NameRule, _readable, _stem
from hpa.vocabulary.hpa2018 import CHANNELS


@pytest.mark.parametrize(
    ("file_name", "channel", "expected"),
    [
        ("cell_red.png", "red", "cell"),
        ("plate/7_green.TIF", "green", "plate/7"),
        ("plate/7_Green.PNG", "green", "plate/7"),
        ("plate/7-green.png", "green", "plate/7"),
        ("plate.1/7 green.png", "green", "plate.1/7"),
        ("C:\\scans\\a_b_blue.jpeg", "blue", "C:/scans/a_b"),
        ("scan 3.png", "red", "scan 3"),
        ("cell_red.png", "green", "cell_red"),
        ("v1.2_red", "red", "v1.2"),
        ("", "red", "image"),
        ("_red.png", "red", "image"),
        ("a\x00b\n_red.png", "red", "a·b·"),
        ("Zelle_ü_red.png", "red", "Zelle_ü"),
        ("plate/well 3.ome.tif", "image_file", "plate/well 3"),
        ("well.zarr.zip", "image_file", "well"),
        ("notes", "image_file", "notes"),
    ],
)
def test_an_image_is_named_after_its_file(file_name: str, channel: str, expected: str) -> None:
    assert _readable(_stem(file_name, channel, NameRule(CHANNELS))) == expected
