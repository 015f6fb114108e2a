"""Preset `hpa2018`: the 28 labels and four channels of the competition.

Source: Human Protein Atlas Image Classification (Kaggle, 2018), data description page.
"""

from hpa.vocabulary.channels import NUCLEUS, OTHER, PROTEIN, Channel, Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import Labels

NAME = "hpa2018"
LABELS = Labels.named(
    (
        "Nucleoplasm",
        "Nuclear membrane",
        "Nucleoli",
        "Nucleoli fibrillar center",
        "Nuclear speckles",
        "Nuclear bodies",
        "Endoplasmic reticulum",
        "Golgi apparatus",
        "Peroxisomes",
        "Endosomes",
        "Lysosomes",
        "Intermediate filaments",
        "Actin filaments",
        "Focal adhesion sites",
        "Microtubules",
        "Microtubule ends",
        "Cytokinetic bridge",
        "Mitotic spindle",
        "Microtubule organizing center",
        "Centrosome",
        "Lipid droplets",
        "Plasma membrane",
        "Cell junctions",
        "Mitochondria",
        "Aggresome",
        "Cytosol",
        "Cytoplasmic bodies",
        "Rods & rings",
    )
)
CHANNELS = Channels(
    (
        Channel("red", OTHER, "red", "microtubules"),
        Channel("green", PROTEIN, "green"),
        Channel("blue", NUCLEUS, "blue"),
        Channel("yellow", OTHER, "yellow", "endoplasmic reticulum"),
    )
)
HPA_2018 = Vocabulary(LABELS, CHANNELS)
