"""Pattern of each label, and the mixture of several in the green channel."""

from collections.abc import Callable

import numpy as np

from hpa.data.synthesis import nuclear_patterns as nuclear
from hpa.data.synthesis import organelle_patterns as organelle
from hpa.data.synthesis import skeleton_patterns as skeleton
from hpa.data.synthesis.background import draw_background
from hpa.data.synthesis.reference import Reference
from hpa.data.synthesis.scene import Scene
from hpa.vocabulary.hpa2018 import LABELS

Pattern = Callable[[np.random.Generator, Scene, Reference], np.ndarray]

_BY_NAME: dict[str, Pattern] = {
    "Nucleoplasm": nuclear.nucleoplasm,
    "Nuclear membrane": nuclear.nuclear_membrane,
    "Nucleoli": nuclear.nucleoli,
    "Nucleoli fibrillar center": nuclear.fibrillar_centres,
    "Nuclear speckles": nuclear.speckles,
    "Nuclear bodies": nuclear.nuclear_bodies,
    "Endoplasmic reticulum": organelle.endoplasmic_reticulum,
    "Golgi apparatus": organelle.golgi,
    "Peroxisomes": organelle.peroxisomes,
    "Endosomes": organelle.endosomes,
    "Lysosomes": organelle.lysosomes,
    "Intermediate filaments": skeleton.intermediate_filaments,
    "Actin filaments": skeleton.actin_filaments,
    "Focal adhesion sites": skeleton.focal_adhesions,
    "Microtubules": skeleton.microtubules,
    "Microtubule ends": skeleton.microtubule_ends,
    "Cytokinetic bridge": skeleton.cytokinetic_bridge,
    "Mitotic spindle": skeleton.mitotic_spindle,
    "Microtubule organizing center": skeleton.organizing_centre,
    "Centrosome": skeleton.centrosome,
    "Lipid droplets": organelle.lipid_droplets,
    "Plasma membrane": skeleton.plasma_membrane,
    "Cell junctions": skeleton.cell_junctions,
    "Mitochondria": organelle.mitochondria,
    "Aggresome": organelle.aggresome,
    "Cytosol": organelle.cytosol,
    "Cytoplasmic bodies": organelle.cytoplasmic_bodies,
    "Rods & rings": organelle.rods_and_rings,
}
PATTERNS: dict[int, Pattern] = {LABELS.column(name): draw for name, draw in _BY_NAME.items()}
_WHOLE_COMPARTMENT = {LABELS.column(name) for name in ("Nucleoplasm", "Cytosol")}


def draw_protein(
    rng: np.random.Generator, scene: Scene, reference: Reference, label_set: tuple[int, ...]
) -> np.ndarray:
    """Mix the patterns of a label set by random weights, float32[H,W] in about [0,1]."""
    mixture = np.zeros((scene.size, scene.size), np.float32)
    for label in label_set:
        # A filled compartment at full strength would hide the structures inside it.
        highest = 0.5 if label in _WHOLE_COMPARTMENT and len(label_set) > 1 else 1.0
        mixture += rng.uniform(0.4, 1.0) * highest * PATTERNS[label](rng, scene, reference)
    # An antibody also binds unspecifically, faintly over cytoplasm and nucleus.
    strength, nucleus = rng.gamma(1.2, 0.08), rng.gamma(1.2, 0.04)
    cytosol = strength * draw_background(rng, scene, over_nucleus=rng.uniform(0.1, 1.2))
    return mixture + (cytosol + nucleus * scene.nucleus)
