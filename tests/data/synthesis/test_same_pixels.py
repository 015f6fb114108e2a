"""The simulated images have the same pixels on all x86-64 processors with AVX2."""

import hashlib
import os
import platform
import subprocess
import sys

import pytest

from support.paths import PYTHONPATH

DRAW = """
import sys
import cv2
from hpa.data.synthesis.microscope import draw_image, pin_instructions
pin_instructions()
cv2.setNumThreads(1)
for index, labels in ((0, (25,)), (1742, (6,)), (3090, (1, 25))):
    pixels = draw_image(labels, seed=2045861578, index=index, image_size=192)
    sys.stdout.buffer.write(pixels.tobytes())
print(cv2.ipp.getIppVersion(), file=sys.stderr)
"""
"""Images 1742 and 3090 of the default set differ if OpenCV interpolates by AVX-512."""
GOLDEN = "8a934bbc2a9a390dad3679d33000c5c5590f427c76cac8547dbeec7964d5c95a"
"""SHA-256 of the pixels, drawn with and without AVX-512."""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX2 is of x86-64")
@pytest.mark.parametrize("numpy_without", ["", "X86_V4 AVX512_ICL AVX512_SPR"])
def test_the_pixels_are_those_that_another_machine_drew(numpy_without: str) -> None:
    changes = {"PYTHONPATH": PYTHONPATH, "NPY_DISABLE_CPU_FEATURES": numpy_without}
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_IPP"}
    done = subprocess.run(
        [sys.executable, "-c", DRAW], env=environment | changes, capture_output=True, check=True
    )
    assert b"AVX2" in done.stderr
    assert hashlib.sha256(done.stdout).hexdigest() == GOLDEN
