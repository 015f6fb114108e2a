"""Cytoskeleton, cell border and mitosis; each returns float32[H,W] in about [0,1]."""

import numpy as np

from hpa.data.synthesis.background import draw_background
from hpa.data.synthesis.cells import METAPHASE
from hpa.data.synthesis.filaments import confine, draw, grow, lookup
from hpa.data.synthesis.reference import Reference, interphase_cells, scatter
from hpa.data.synthesis.scene import Scene
from hpa.data.synthesis.textures import blur, smooth_noise, spots


def intermediate_filaments(
    rng: np.random.Generator, scene: Scene, reference: Reference
) -> np.ndarray:
    """Draw wavy bundles around the nucleus, thinner towards the border."""
    weight = scene.cytoplasm * np.exp(-scene.halo / rng.uniform(0.3, 1.0))
    start = scatter(rng, scene, rng.uniform(50, 130), weight)
    side = rng.choice([-1, 1], len(start))
    heading = lookup(scene.bearing, start) + side * rng.normal(1.2, 0.45, len(start))
    step = 0.13 * scene.radius_px
    away = 1 + lookup(scene.halo, start)
    bend = side * step / (away * scene.radius_px) + rng.normal(0, 0.05, len(start))
    threads = grow(start, heading, bend, rng, n_steps=14, step_px=step, wiggle=0.28)
    width_px = rng.uniform(0.025, 0.06) * scene.radius_px
    lines = draw(scene.size, confine(threads, scene.owner), width_px=width_px)
    bundled = np.clip(1 + 0.6 * smooth_noise(rng, scene.size, 0.6 * scene.radius_px), 0.1, 3)
    blurred = rng.uniform(0.3, 0.9) * blur(lines, 0.12 * scene.radius_px)
    uneven = scene.per_cell(rng.lognormal(0, 0.5, len(scene.cells.phase)))
    image = (lines + blurred) * bundled * np.clip(uneven, 0, 1.8)
    return np.minimum(image, 1.6) * (1 - 0.7 * scene.nucleus)


def actin_filaments(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw straight fibres, parallel within a cell, that cross its nucleus, and a bright border."""
    n_cells = len(scene.cells.phase)
    axis = scene.per_cell(scene.cells.axis + rng.normal(0, 0.3, n_cells))
    start = scatter(rng, scene, rng.uniform(30, 90), scene.cell * interphase_cells(scene))
    heading = lookup(axis, start) + rng.normal(0, 0.12, len(start))
    heading += np.pi * rng.integers(0, 2, len(start))
    bend = rng.normal(0, 0.008, len(start))
    step = rng.uniform(0.12, 0.28) * scene.radius_px
    fibres = grow(start, heading, bend, rng, n_steps=12, step_px=step, wiggle=0.015)
    width_px = rng.uniform(0.02, 0.05) * scene.radius_px
    lines = draw(scene.size, confine(fibres, scene.owner), width_px=width_px)
    border = rng.uniform(0.1, 0.8) * np.exp(-scene.edge / 0.09) * scene.cell
    patchy = np.clip(1 + 0.5 * smooth_noise(rng, scene.size, scene.radius_px), 0.1, 2.5)
    rest = rng.uniform(0.05, 0.35) * draw_background(rng, scene, over_nucleus=1.0)
    return (np.minimum(lines, 1.5) + border) * patchy + rest


def focal_adhesions(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw short dashes near the border that point to the middle of the cell."""
    zone = np.exp(-(((scene.edge - 0.16) / rng.uniform(0.12, 0.3)) ** 2)) + 0.03
    start = scatter(rng, scene, rng.uniform(15, 50), zone * scene.cytoplasm)
    heading = lookup(scene.bearing, start) + rng.normal(0, 0.3, len(start))
    step = rng.uniform(0.05, 0.13, len(start)) * scene.radius_px
    dashes = grow(start, heading, np.zeros(len(start)), rng, n_steps=3, step_px=step, wiggle=0.05)
    width_px = rng.uniform(0.06, 0.1) * scene.radius_px
    image = np.minimum(draw(scene.size, confine(dashes, scene.owner), width_px=width_px), 1.2)
    rest = rng.uniform(0.08, 0.4) * draw_background(rng, scene, over_nucleus=rng.uniform(0.5, 1.2))
    return image * scene.cell + rest


def microtubules(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw the filaments of the red channel, slightly blurred."""
    blurred = blur(reference.microtubules, 0.1 * scene.radius_px)
    share = rng.uniform(0.1, 0.6)
    return 1.1 * ((1 - share) * reference.microtubules + share * blurred)


def microtubule_ends(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw short comets at the ends of microtubules, bright at the tip."""
    chosen = rng.random(len(reference.tips)) < rng.uniform(0.4, 0.9)
    tip, heading = reference.tips[chosen], reference.tip_heading[chosen]
    backward = np.column_stack([np.cos(heading), np.sin(heading)]) * scene.radius_px
    trail = np.linspace(0, rng.uniform(0.12, 0.25), 5)
    xy = (tip[:, None] - trail[None, :, None] * backward[:, None]).reshape(-1, 2)
    weight = np.tile(np.linspace(0.8, 0.15, 5), len(tip))
    comets = spots(scene.size, xy, weight, 0.04 * scene.radius_px)
    rest = rng.uniform(0.05, 0.2) * reference.microtubules
    return np.minimum(comets, 1.4) * scene.cell * (1 - 0.6 * scene.nucleus) + rest


def cytokinetic_bridge(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw the strand between sister cells and its midbody; other cells stay weak."""
    strand = rng.uniform(0.3, 1.0) * reference.bridge
    midbody = rng.uniform(0.4, 1.4) * reference.midbody
    rest = rng.uniform(0.05, 0.3) * draw_background(rng, scene, over_nucleus=rng.uniform(0.4, 2.0))
    return 1.3 * (strand + midbody) + rest


def mitotic_spindle(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw both cones of the spindle in metaphase cells, and their cytosol."""
    dividing = scene.per_cell((scene.cells.phase == METAPHASE).astype(float))
    rest = rng.uniform(0.05, 0.3) * draw_background(rng, scene, over_nucleus=rng.uniform(0.4, 2.0))
    return 1.3 * reference.spindle + 0.2 * dividing * scene.cell + rest


def organizing_centre(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw one soft spot per cell beside the nucleus, with a cloud of satellites."""
    cells = scene.interphase()
    centre = scene.cells.organiser[cells] * scene.size
    whose = np.repeat(np.arange(len(cells)), rng.poisson(rng.uniform(2, 12), len(cells)))
    cloud = rng.uniform(0.12, 0.4) * scene.radius_px
    satellites = centre[whose] + rng.normal(0, cloud, (len(whose), 2))
    body = spots(
        scene.size,
        centre,
        rng.uniform(0.5, 1.2, len(cells)),
        rng.uniform(0.1, 0.17) * scene.radius_px,
    )
    dots = spots(scene.size, satellites, np.full(len(whose), 0.45), 0.06 * scene.radius_px)
    rest = rng.uniform(0.03, 0.3) * draw_background(rng, scene, over_nucleus=rng.uniform(0.4, 1.6))
    return (body + dots) * (scene.cell > 0) + rest + 0.8 * _poles(scene)


def centrosome(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw one or two sharp dots per cell beside the nucleus."""
    cells = scene.interphase()
    first = scene.cells.organiser[cells] * scene.size
    angle = rng.uniform(0, 2 * np.pi, len(cells))
    apart = rng.uniform(0.12, 0.4, (len(cells), 1)) * scene.radius_px
    second = first + apart * np.column_stack([np.cos(angle), np.sin(angle)])
    double = rng.random(len(cells)) < rng.uniform(0.3, 1.0)
    xy = np.concatenate([first, second[double]])
    weight = rng.uniform(0.7, 1.3, len(xy))
    dots = spots(scene.size, xy, weight, rng.uniform(0.06, 0.09) * scene.radius_px)
    rest = rng.uniform(0.03, 0.25) * draw_background(rng, scene, over_nucleus=rng.uniform(0.4, 1.6))
    return np.minimum(dots, 1.3) * (scene.cell > 0) + rest + _poles(scene)


def plasma_membrane(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw the outline of the cell, brighter in ruffles, and the membrane seen from above."""
    width = max(rng.uniform(0.05, 0.11), 0.6 / scene.radius_px)
    rim = np.exp(-((scene.edge / width) ** 1.5)) * scene.cell
    ruffles = np.clip(0.8 + 0.6 * smooth_noise(rng, scene.size, 0.6 * scene.radius_px), 0, 2.5)
    grain = smooth_noise(rng, scene.size, rng.uniform(0.07, 0.14) * scene.radius_px)
    face = scene.cell * np.clip(1 + rng.uniform(0.1, 0.4) * grain, 0, 2.5)
    face = face * (1 - rng.uniform(0, 0.4) * scene.nucleus)
    return rng.uniform(0.4, 0.9) * rim * ruffles + rng.uniform(0.1, 0.45) * face


def cell_junctions(rng: np.random.Generator, scene: Scene, reference: Reference) -> np.ndarray:
    """Draw dotted or solid lines only along borders between two cells."""
    beads = smooth_noise(rng, scene.size, rng.uniform(0.15, 0.4) * scene.radius_px)
    lost = smooth_noise(rng, scene.size, 1.5 * scene.radius_px)
    patchy = np.clip(0.8 + rng.uniform(0.1, 0.6) * beads + 0.3 * lost, 0, 1.6)
    rest = rng.uniform(0.04, 0.22) * draw_background(rng, scene, over_nucleus=rng.uniform(0.4, 1.5))
    return 1.1 * scene.contact * patchy + rest


def _poles(scene: Scene) -> np.ndarray:
    """Draw spots at the two poles of each metaphase spindle."""
    cells = np.flatnonzero(scene.cells.phase == METAPHASE)
    axis = scene.cells.axis[cells]
    offset = 0.95 * scene.cells.nuclear_radius[cells, None]
    direction = offset * np.column_stack([np.cos(axis), np.sin(axis)])
    centre = scene.cells.centre[cells]
    xy = np.concatenate([centre + direction, centre - direction]) * scene.size
    return spots(scene.size, xy, np.ones(len(xy)), 0.1 * scene.radius_px)
