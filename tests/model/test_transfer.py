"""Weights of an older network go to the channels and labels of the same names, bit by bit."""

import keras
import numpy as np
import pytest

from hpa.errors import UserError
from hpa.model import resnet
from hpa.model.resnet import BACKBONE, HEAD, HEAD_NORMALISATION
from hpa.model.transfer import Taken, transfer
from hpa.vocabulary.channels import NUCLEUS, OTHER, PROTEIN, Channel, Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018
from hpa.vocabulary.labels import Label, Labels
from support.older_models import SMALL, random_network

DAPI, ER = Channel("blue", NUCLEUS, "cyan"), Channel("Yellow", OTHER, "yellow")
GFP, ACTIN = Channel("GFP", PROTEIN, "green"), Channel("actin", OTHER, "magenta")
OWN = Vocabulary(
    Labels((Label(3, "Cytosol"), Label(9, "Axoneme"), Label(40, "golgi Apparatus"))),
    Channels((ER, GFP, ACTIN, DAPI)),
)


@pytest.fixture(autouse=True)
def small_resnet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, sizes in SMALL.items():
        monkeypatch.setattr(resnet, name, sizes)


def started(
    new: Vocabulary, old: Vocabulary, rule: str = "red_blue_mean", **new_network: object
) -> tuple[keras.Model, keras.Model, list[np.ndarray]]:
    """Return a new network after the transfer, the older one, and the new one's first weights."""
    older = random_network(old, 1)
    network = random_network(new, 2, **new_network)  # type: ignore[arg-type]
    first = network.get_weights()
    features = new_network.get("pooling", "average_max") == "average_max"
    taken = Taken.plan(new, old, features=features)
    words = {"channels": new.channels, "old_channels": old.channels}
    transfer(network, older, taken, **words, fourth_channel=rule)
    return network, older, first


def kernel(network: keras.Model) -> np.ndarray:
    return np.array(network.get_layer(BACKBONE).get_layer("conv1_conv").get_weights()[0])


def test_the_same_vocabulary_takes_every_weight() -> None:
    network, older, _ = started(HPA_2018, HPA_2018, image_size=64)
    for ours, theirs in zip(network.get_weights(), older.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert str(Taken.plan(HPA_2018, HPA_2018, features=True)) == (
        "backbone; 4 of 4 channels; 28 of 28 head rows"
    )


def test_rows_and_kernels_follow_names_whatever_their_order_and_numbers() -> None:
    network, older, first = started(OWN, HPA_2018)
    (rows, bias), (old_rows, old_bias) = (
        each.get_layer(HEAD).get_weights() for each in (network, older)
    )
    for ours, theirs in ((0, 25), (2, 7)):  # Cytosol and Golgi apparatus
        np.testing.assert_array_equal(rows[:, ours], old_rows[:, theirs])
        assert bias[ours] == old_bias[theirs]
    np.testing.assert_array_equal(rows[:, 1], first[-2][:, 1])  # Axoneme is as initialised
    assert bias[1] == first[-1][1]
    np.testing.assert_array_equal(kernel(network)[:, :, 0], kernel(older)[:, :, 3])  # yellow
    np.testing.assert_array_equal(kernel(network)[:, :, 3], kernel(older)[:, :, 2])  # blue
    for name in (HEAD_NORMALISATION,):
        for ours, theirs in zip(
            network.get_layer(name).get_weights(), older.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert str(Taken.plan(OWN, HPA_2018, features=True)) == (
        "backbone; 2 of 4 channels; 2 of 3 head rows"
    )


@pytest.mark.parametrize("rule", ["red_blue_mean", "red_copy", "random"])
def test_a_channel_that_the_older_network_lacks_follows_the_rule(rule: str) -> None:
    network, older, _ = started(OWN, HPA_2018, rule)
    known, ours = kernel(older), kernel(network)
    np.testing.assert_array_equal(ours[:, :, 1], known[:, :, 1])  # GFP is displayed in green
    if rule == "random":
        norms = [np.sqrt(np.square(each).sum(axis=(0, 1))) for each in (ours[:, :, 2], known)]
        np.testing.assert_allclose(norms[0], norms[1].mean(axis=0), rtol=1e-4)
    else:
        parts = [0, 2] if rule == "red_blue_mean" else [0]
        np.testing.assert_allclose(ours[:, :, 2], known[:, :, parts].mean(axis=2), rtol=1e-6)


def test_without_red_and_blue_the_mean_is_that_of_all_channels() -> None:
    old = Vocabulary(OWN.labels, Channels((ER, GFP)))
    network, older, _ = started(OWN, old)
    np.testing.assert_allclose(kernel(network)[:, :, 2], kernel(older).mean(axis=2), rtol=1e-6)


def test_another_pooling_gives_a_fresh_head_and_says_so() -> None:
    network, older, first = started(HPA_2018, HPA_2018, pooling="average")
    for ours, before in zip(network.get_weights()[-6:], first[-6:], strict=True):
        np.testing.assert_array_equal(ours, before)
    np.testing.assert_array_equal(kernel(network), kernel(older))
    taken = Taken.plan(HPA_2018, HPA_2018, features=False)
    assert str(taken) == ("backbone; 4 of 4 channels; a fresh head, as model.pooling is another")


def test_no_label_in_common_leaves_all_rows_fresh() -> None:
    new = Vocabulary(Labels.named(["Axoneme"]), CHANNELS)
    network, _, first = started(new, HPA_2018)
    np.testing.assert_array_equal(network.get_layer(HEAD).get_weights()[0], first[-2])
    assert str(Taken.plan(new, HPA_2018, features=True)).endswith("0 of 1 head rows")


def test_another_backbone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    older = random_network(HPA_2018, 1)
    monkeypatch.setattr(resnet, "BLOCKS", (1, 1, 2, 1))
    network = random_network(HPA_2018, 2)
    with pytest.raises(UserError, match="other weights in stack2_block1_1_bn"):
        transfer(
            network,
            older,
            Taken.plan(HPA_2018, HPA_2018, features=True),
            channels=CHANNELS,
            old_channels=CHANNELS,
            fourth_channel="red_copy",
        )
