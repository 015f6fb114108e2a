"""Simulated microscope: cells, four stains, optics, detector."""

import os

import cv2
import numpy as np

from hpa.data.synthesis.patterns import draw_protein
from hpa.data.synthesis.reference import stain
from hpa.data.synthesis.scene import Scene, build_scene
from hpa.data.synthesis.textures import blur, smooth_noise
from hpa.seeds import stream
from hpa.vocabulary.hpa2018 import CHANNELS

_SMALLEST_CANVAS_PX = 128
_NATIVE_SIZE_PX = 512
_EXPOSURE = {"red": 0.27, "green": 0.27, "blue": 0.50, "yellow": 0.32}
_EXPOSURE_SPREAD = {"red": 0.6, "green": 0.7, "blue": 0.4, "yellow": 0.6}
_CELL_TO_CELL = {"red": 0.25, "green": 0.32, "blue": 0.2, "yellow": 0.25}
_PHOTONS = {"red": 45, "green": 70, "blue": 60, "yellow": 55}  # at full white, native pixel


def pin_instructions() -> None:
    """Let OpenCV resize by AVX2 on every processor that has it, before its first call.

    The cubic interpolation of Intel's IPP, within OpenCV, takes AVX-512 where there is one, and
    rounds differently: two of the 6,100 default images then have other pixels.
    """
    os.environ["OPENCV_IPP"] = "avx2"


def draw_image(
    label_set: tuple[int, ...],
    *,
    seed: int,
    index: int,
    image_size: int,
    brightness: float = 1.0,
) -> np.ndarray:
    """Draw image `index` of a seed, uint8[H,W,4] in the channel order of `hpa2018.CHANNELS`.

    Args:
        label_set: label numbers; the green channel shows their patterns, mixed.
        seed: seed of the whole set.
        index: number of the image within the set; same arguments, same bytes.
        image_size: height and width in pixels; a small image is the same field, scaled down.
        brightness: factor on the light of all channels, before noise and saturation.
    """
    canvas_size = max(image_size, _SMALLEST_CANVAS_PX)
    # One stream per step: the reference channels do not depend on the protein's pattern.
    scene_rng, stain_rng, protein_rng, optics_rng = (
        stream(seed, "synthesis", index, step) for step in ("scene", "stain", "protein", "optics")
    )
    scene = build_scene(scene_rng, label_set, canvas_size)
    reference = stain(stain_rng, scene)
    light = {
        "red": reference.microtubules,
        "green": draw_protein(protein_rng, scene, reference, label_set),
        "blue": reference.chromatin,
        "yellow": reference.reticulum,
    }
    exposed = _expose(optics_rng, scene, light, brightness)
    image = np.stack(_detect(optics_rng, exposed), axis=-1)
    if canvas_size != image_size:
        image = cv2.resize(image, (image_size, image_size), interpolation=cv2.INTER_AREA)
    return np.clip(np.round(image * 255), 0, 255).astype(np.uint8)


def _expose(
    rng: np.random.Generator, scene: Scene, light: dict[str, np.ndarray], brightness: float
) -> list[np.ndarray]:
    """Apply the staining strength of the image and of each cell, then the blur of the objective."""
    n_cells = len(scene.cells.phase)
    overall = brightness * rng.lognormal(0.0, 0.3)
    focus = rng.gamma(1.5, 0.0007) + (rng.uniform(0.003, 0.012) if rng.random() < 0.06 else 0.0)
    tilt = np.exp(0.12 * smooth_noise(rng, scene.size, 0.8 * scene.size))
    exposed = []
    for channel, image in light.items():
        strength = _EXPOSURE[channel] * rng.lognormal(0.0, _EXPOSURE_SPREAD[channel])
        variation = rng.lognormal(0.0, _CELL_TO_CELL[channel] * rng.uniform(0.4, 1.6), n_cells)
        per_cell = np.concatenate([[1.0], variation]).astype(np.float32)[scene.owner]
        sharp = image * per_cell * tilt * np.float32(overall * strength)
        sigma_px = np.hypot(0.0013, focus) * scene.size
        focused = blur(sharp.astype(np.float32), float(sigma_px))
        # An operator lowers the laser power if much would saturate.
        brightest = np.percentile(focused[::4, ::4], 99.5)
        exposed.append(focused * np.float32(min(1.0, rng.uniform(0.6, 1.3) / (brightest + 1e-6))))
    return exposed


def _detect(rng: np.random.Generator, exposed: list[np.ndarray]) -> list[np.ndarray]:
    """Add photon and read noise and subtract the black level."""
    detected = []
    for channel, image in zip(CHANNELS.names, exposed, strict=True):
        # A pixel of a small image collects the light of several detector pixels.
        pooled = (_NATIVE_SIZE_PX / image.shape[0]) ** 2
        photons = rng.lognormal(np.log(_PHOTONS[channel]), 0.6) * pooled
        noise = rng.spawn(1)[0].standard_normal(image.shape, dtype=np.float32)
        # The square of a Gaussian with fixed width is Poisson to second order (Anscombe 1948).
        counted = np.square(np.sqrt(image + 0.002) + noise * np.float32(0.5 / np.sqrt(photons)))
        background = rng.gamma(0.4, 0.006) if rng.random() < 0.96 else rng.uniform(0.02, 0.12)
        black = 0.004 + 0.5 / photons
        detected.append(counted + np.float32(background - black))
    return detected
