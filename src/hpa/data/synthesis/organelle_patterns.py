"""Organelles of the cytoplasm; each returns float32[H,W] in about [0,1]."""

import numpy as np

from hpa.data.synthesis.background import draw_background
from hpa.data.synthesis.filaments import confine, draw, grow, lookup
from hpa.data.synthesis.reference import Reference, draw_reticulum, interphase_cells, scatter
from hpa.data.synthesis.scene import Scene
from hpa.data.synthesis.textures import blur, discs, displace, smooth_noise, spots


def endoplasmic_reticulum(
    rng: np.random.Generator, scene: Scene, reference: Reference
) -> np.ndarray:
    """Draw the network of the yellow stain, with some of the nuclear envelope."""
    own_share = rng.uniform(0.3, 0.8)
    net = (1 - own_share) * reference.reticulum + own_share * draw_reticulum(rng, scene)
    envelope = rng.uniform(0, 0.45) * np.exp(-(((scene.depth - 1.02) / 0.1) ** 2)) * scene.cell
    return net + envelope


def golgi(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw stacks of short ribbons beside the nucleus, compact in some images, spread in others."""
    cells = scene.interphase()
    whose = np.repeat(cells, rng.integers(5, 18, len(cells)))
    outward = (scene.cells.organiser - scene.cells.centre)[whose] * scene.size
    # In some cells the stack is compact at the organiser, in others it curves around the nucleus.
    wrap = rng.uniform(0.08, 0.7) * rng.uniform(0.5, 1.5, len(scene.cells.phase))[whose]
    angle = np.arctan2(outward[:, 1], outward[:, 0]) + rng.normal(0, wrap)
    away = np.linalg.norm(outward, axis=1) * rng.normal(1.05, rng.uniform(0.06, 0.22), len(whose))
    direction = np.column_stack([np.cos(angle), np.sin(angle)])
    start = scene.cells.centre[whose] * scene.size + away[:, None] * direction
    side = rng.choice([-1, 1], len(whose))
    heading = angle + side * (np.pi / 2) + rng.normal(0, 0.5, len(whose))
    step = rng.uniform(0.015, 0.06) * scene.radius_px
    bend = side * step / away + rng.normal(0, 0.1, len(whose))
    ribbons = grow(start, heading, bend, rng, n_steps=6, step_px=step, wiggle=0.25)
    width_px = rng.uniform(0.07, 0.15) * scene.radius_px
    image = blur(draw(scene.size, ribbons, width_px=width_px), 0.035 * scene.radius_px)
    rest = rng.uniform(0.03, 0.5) * draw_background(rng, scene, over_nucleus=rng.uniform(0.2, 1.5))
    return np.minimum(image, 1.3) * (scene.cell > 0) * (1 - 0.5 * scene.nucleus) + rest


def mitochondria(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw threads through the cytoplasm, long or fragmented, denser near the nucleus."""
    reach = rng.uniform(0.5, 2.0)
    weight = scene.cytoplasm * np.exp(-scene.halo / reach) * np.clip(scene.edge / 0.15, 0, 1)
    start = scatter(rng, scene, rng.uniform(70, 200), weight)
    heading = lookup(scene.bearing, start) + rng.normal(0, 1.0, len(start))
    step = rng.uniform(0.03, 0.11) * scene.radius_px
    bend = rng.normal(0, 0.1, len(start))
    worms = grow(start, heading, bend, rng, n_steps=6, step_px=step, wiggle=0.22)
    worms = confine(worms, np.where(scene.nucleus < 0.5, scene.owner, 0))
    width_px = rng.uniform(0.04, 0.075) * scene.radius_px
    image = 1.2 * (1 - np.exp(-draw(scene.size, worms, width_px=width_px)))
    blurred = rng.uniform(0.2, 0.9) * blur(image, 0.2 * scene.radius_px)
    return (image + blurred) * scene.cell * (1 - rng.uniform(0.35, 0.8) * scene.nucleus)


def peroxisomes(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw many tiny dots of one size, evenly in the cytoplasm."""
    weight = scene.cytoplasm * np.clip(scene.edge / 0.2, 0, 1) * (0.3 + np.exp(-scene.halo))
    xy = scatter(rng, scene, rng.uniform(50, 130), weight)
    sigma_px = rng.uniform(0.035, 0.055) * scene.radius_px
    dots = spots(scene.size, xy, rng.uniform(0.5, 1.0, len(xy)), sigma_px)
    rest = rng.uniform(0.03, 0.2) * draw_background(rng, scene, over_nucleus=0.6)
    return np.minimum(dots, 1.5) * scene.cell + rest


def endosomes(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw vesicles of mixed size, mostly near the organiser."""
    gathered = np.exp(-((_from_organiser(scene) / rng.uniform(0.8, 1.6)) ** 2))
    xy = scatter(rng, scene, rng.uniform(25, 70), scene.cytoplasm * (gathered + 0.15))
    radius = rng.uniform(0.04, 0.07) * rng.lognormal(0, 0.35, len(xy)) * scene.radius_px
    vesicles = discs(scene.size, xy, radius, rng.uniform(0.3, 1.0, len(xy)))
    return vesicles * scene.cell + rng.uniform(0.05, 0.2) * reference.reticulum


def lysosomes(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw larger round vesicles around the nucleus, mostly near the organiser."""
    gathered = np.exp(-((_from_organiser(scene) / rng.uniform(0.7, 1.3)) ** 2))
    xy = scatter(rng, scene, rng.uniform(20, 55), scene.cytoplasm * (gathered + 0.04))
    radius = rng.uniform(0.065, 0.11) * rng.lognormal(0, 0.25, len(xy)) * scene.radius_px
    vesicles = discs(scene.size, xy, radius, rng.uniform(0.5, 1.0, len(xy)))
    rest = rng.uniform(0.02, 0.12) * draw_background(rng, scene, over_nucleus=0.6)
    return vesicles * scene.cell + rest


def lipid_droplets(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw round droplets in clusters, filled or coated; their number varies between cells."""
    loaded = scene.per_cell(rng.lognormal(0, 0.9, len(scene.cells.phase)))
    clusters = np.exp(0.9 * smooth_noise(rng, scene.size, 0.6 * scene.radius_px))
    weight = scene.cytoplasm * loaded * clusters * np.clip(scene.edge / 0.2, 0, 1)
    xy = scatter(rng, scene, rng.uniform(10, 40), weight)
    radius = rng.uniform(0.06, 0.11) * rng.lognormal(0, 0.3, len(xy)) * scene.radius_px
    droplets = discs(scene.size, xy, radius, rng.uniform(0.55, 1.0, len(xy)))
    hollow = rng.uniform(0.0, 1.1) * discs(scene.size, xy, 0.55 * radius, np.full(len(xy), 0.8))
    cytosol_part = rng.uniform(0.02, 0.3) * draw_background(rng, scene, over_nucleus=0.5)
    return np.clip(droplets - hollow, 0, 1) * scene.cell + cytosol_part


def cytoplasmic_bodies(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw a few sharp dots anywhere in the cytoplasm."""
    weight = scene.cytoplasm * np.clip(scene.edge / 0.15, 0, 1)
    xy = scatter(rng, scene, rng.uniform(3, 16), weight)
    radius = rng.uniform(0.05, 0.09) * rng.lognormal(0, 0.25, len(xy)) * scene.radius_px
    dots = discs(scene.size, xy, radius, rng.uniform(0.5, 1.0, len(xy)))
    rest = rng.uniform(0.05, 0.35) * draw_background(rng, scene, over_nucleus=0.6)
    return dots * scene.cell + rest


def aggresome(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw one large lump beside the nucleus of most cells."""
    cells = rng.permutation(scene.interphase())
    cells = cells[: max(1, round(len(cells) * rng.uniform(0.5, 1.0)))]
    xy = scene.cells.organiser[cells] * scene.size
    radius = rng.uniform(0.22, 0.42) * rng.lognormal(0, 0.2, len(cells)) * scene.radius_px
    lumps = discs(scene.size, xy, radius, rng.uniform(0.6, 1.0, len(cells)))
    lumps = displace(rng, lumps, scene.radius_px, scale=0.4, shift=0.1)
    lumps = blur(lumps, 0.05 * scene.radius_px)
    grain = np.clip(1 + 0.25 * smooth_noise(rng, scene.size, 0.12 * scene.radius_px), 0.2, 2)
    rest = rng.uniform(0.05, 0.3) * draw_background(rng, scene, over_nucleus=0.7)
    return 1.1 * lumps * grain * (scene.cell > 0) + rest


def cytosol(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw filled cells with darker nuclei, smooth or granular."""
    filled = draw_background(rng, scene, over_nucleus=rng.uniform(0.05, 0.5))
    return 0.8 * filled


def rods_and_rings(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw one to five thin rods or rings in many cells, up to half a nucleus long."""
    weight = interphase_cells(scene) * scene.cell * np.clip(scene.edge / 0.3, 0, 1)
    start = scatter(rng, scene, rng.uniform(1.0, 4.0), weight + 1e-9)
    ring = rng.random(len(start)) < rng.uniform(0.1, 0.6)
    n_steps = 12
    length = rng.uniform(0.35, 0.95, len(start)) * scene.radius_px
    around = rng.uniform(0.75, 1.5, len(start)) * scene.radius_px
    step = np.where(ring, around, length) / n_steps
    turn = np.where(ring, 2 * np.pi / n_steps, rng.normal(0, 0.02, len(start)))
    heading = rng.uniform(0, 2 * np.pi, len(start))
    shapes = grow(start, heading, turn, rng, n_steps=n_steps, step_px=step, wiggle=0.02)
    width_px = rng.uniform(0.06, 0.1) * scene.radius_px
    image = np.minimum(draw(scene.size, shapes, width_px=width_px), 1.2)
    rest = rng.uniform(0.05, 0.25) * draw_background(rng, scene, over_nucleus=0.9)
    return image * (scene.cell > 0) + rest


def _from_organiser(scene: Scene) -> np.ndarray:
    """Return the distance of each pixel from its own cell's organiser, in nuclear radii."""
    y, x = np.indices((scene.size, scene.size), dtype=np.float32)
    organiser = scene.cells.organiser * scene.size
    dx = x + 0.5 - scene.per_cell(organiser[:, 0])
    dy = y + 0.5 - scene.per_cell(organiser[:, 1])
    return np.hypot(dx, dy) / scene.radius_px
