"""Pattern of each label, and the mixture of several in the green channel."""

from collections.abc import Callable

import numpy as np

from hpa.data.synthesis.background import draw_background
from hpa.data.synthesis.nuclear_patterns import (
    fibrillar_centres,
    nuclear_bodies,
    nuclear_membrane,
    nucleoli,
    nucleoplasm,
    speckles,
)
from hpa.data.synthesis.organelle_patterns import (
    aggresome,
    cytoplasmic_bodies,
    cytosol,
    endoplasmic_reticulum,
    endosomes,
    golgi,
    lipid_droplets,
    lysosomes,
    mitochondria,
    peroxisomes,
    rods_and_rings,
)
from hpa.data.synthesis.reference import Reference
from hpa.data.synthesis.scene import Scene
from hpa.data.synthesis.skeleton_patterns import (
    actin_filaments,
    cell_junctions,
    centrosome,
    cytokinetic_bridge,
    focal_adhesions,
    intermediate_filaments,
    microtubule_ends,
    microtubules,
    mitotic_spindle,
    organizing_centre,
    plasma_membrane,
)
from hpa.labels import LABELS

Pattern = Callable[[np.random.Generator, Scene, Reference], np.ndarray]

_BY_NAME: dict[str, Pattern] = {
    "Nucleoplasm": nucleoplasm,
    "Nuclear membrane": nuclear_membrane,
    "Nucleoli": nucleoli,
    "Nucleoli fibrillar center": fibrillar_centres,
    "Nuclear speckles": speckles,
    "Nuclear bodies": nuclear_bodies,
    "Endoplasmic reticulum": endoplasmic_reticulum,
    "Golgi apparatus": golgi,
    "Peroxisomes": peroxisomes,
    "Endosomes": endosomes,
    "Lysosomes": lysosomes,
    "Intermediate filaments": intermediate_filaments,
    "Actin filaments": actin_filaments,
    "Focal adhesion sites": focal_adhesions,
    "Microtubules": microtubules,
    "Microtubule ends": microtubule_ends,
    "Cytokinetic bridge": cytokinetic_bridge,
    "Mitotic spindle": mitotic_spindle,
    "Microtubule organizing center": organizing_centre,
    "Centrosome": centrosome,
    "Lipid droplets": lipid_droplets,
    "Plasma membrane": plasma_membrane,
    "Cell junctions": cell_junctions,
    "Mitochondria": mitochondria,
    "Aggresome": aggresome,
    "Cytosol": cytosol,
    "Cytoplasmic bodies": cytoplasmic_bodies,
    "Rods & rings": rods_and_rings,
}
PATTERNS: dict[int, Pattern] = {LABELS.index(name): draw for name, draw in _BY_NAME.items()}
_WHOLE_COMPARTMENT = {LABELS.index(name) for name in ("Nucleoplasm", "Cytosol")}


def draw_protein(
    rng: np.random.Generator, scene: Scene, reference: Reference, label_set: tuple[int, ...]
) -> np.ndarray:
    """Mix the patterns of a label set by random weights, float32[H,W] in about [0,1]."""
    mixture = np.zeros((scene.size, scene.size), np.float32)
    for label in label_set:
        # A filled compartment at full strength would hide the structures inside it.
        highest = 0.5 if label in _WHOLE_COMPARTMENT and len(label_set) > 1 else 1.0
        mixture += rng.uniform(0.4, 1.0) * highest * PATTERNS[label](rng, scene, reference)
    return mixture + unspecific_binding(rng, scene)


def unspecific_binding(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Draw the faint unspecific light of an antibody over cytoplasm and nucleus."""
    strength, nucleus = rng.gamma(1.2, 0.08), rng.gamma(1.2, 0.04)
    return strength * draw_background(rng, scene, over_nucleus=rng.uniform(0.1, 1.2)) + (
        nucleus * scene.nucleus
    )
