"""Older models to start from: small ResNets with weights of their own, in model folders."""

from pathlib import Path

import keras
import numpy as np

from hpa.model.archive_origin import embed_provenance
from hpa.model.resnet import build_resnet34
from hpa.model.weights import weights_sha256
from hpa.system.files import sha256, write_json
from hpa.training.state import save_model
from hpa.vocabulary.document import Vocabulary

SMALL = {"BLOCKS": (1, 1, 1, 1), "FILTERS": (64, 8, 8, 8)}
"""Sizes of `hpa.model.resnet` for networks that are built in a fraction of a second."""


def random_network(
    vocabulary: Vocabulary, seed: int, *, image_size: int = 32, pooling: str = "average_max"
) -> keras.Model:
    """Return a network all of whose weights are random: nothing is zero or one by chance."""
    network = build_resnet34(
        image_size,
        len(vocabulary.channels),
        label_rates=np.full(len(vocabulary.labels), 0.2),
        dropout=0.1,
        pooling=pooling,
    )
    random = np.random.default_rng(seed)
    network.set_weights([random.random(w.shape) + 0.5 for w in network.weights])
    return network


def write_older_model(
    folder: Path, network: keras.Model, vocabulary: Vocabulary | None, *, run_id: str = "old"
) -> Path:
    """Write the network with its provenance; without a vocabulary, as earlier versions did."""
    folder.mkdir(parents=True)
    save_model(network, folder / "best.keras")
    provenance = {"run_id": run_id, "weights_sha256": weights_sha256(network), "params": {}}
    words = {"vocabulary": vocabulary.to_json()} if vocabulary else {"labels": ["Nucleoplasm"]}
    embed_provenance(folder / "best.keras", provenance | words)
    archives = {"best.keras": sha256(folder / "best.keras")}
    write_json(folder / "provenance.json", {**provenance, **words, "archives": archives})
    return folder
