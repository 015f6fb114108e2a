import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hpa.errors import UserError
from hpa.model.pretrained import (
    check_layout,
    find_weights,
    load_pretrained,
    pretrained_sha256,
    timm_shapes,
    widen,
)
from hpa.model.resnet import BACKBONE, build_backbone, build_resnet34
from hpa.system.files import sha256
from hpa.vocabulary.channels import NUCLEUS, OTHER, PROTEIN, Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS

sys.path.insert(0, str(Path(__file__).parent / "parity"))
from expected import EXPECTED, make_images, make_weights, torch_features

RNG = np.random.default_rng(9)
KERNEL = RNG.normal(0, 0.1, (7, 7, 3, 64)).astype(np.float32)
DRAWN = RNG.normal(0, 1, (7, 7, 8, 64)).astype(np.float32)
RULES = ["red_blue_mean", "red_copy", "random"]


def write_timm(
    folder: Path, weights: dict[str, np.ndarray], architecture: str = "resnet34"
) -> Path:
    """Write both files as on timm's hub, with classifier and counters."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architecture": architecture}))
    classifier = {"fc.weight": np.ones((5, 512), np.float32), "fc.bias": np.ones(5, np.float32)}
    counters = {"bn1.num_batches_tracked": np.array(7), "layer1.0.bn1.num_batches_tracked": DRAWN}
    save_file(weights | classifier | counters, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return make_weights(timm_shapes())


@pytest.fixture(scope="module")
def timm(weights: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_timm(tmp_path_factory.mktemp("timm"), weights)


@pytest.fixture(scope="module")
def features(timm: Path) -> np.ndarray:
    """Compute the features of our backbone with PyTorch's weights on three channels."""
    network = build_resnet34(96, 4, label_rates=np.full(28, 0.1), dropout=0.0)
    load_pretrained(network, str(timm), CHANNELS, fourth_channel="red_copy")
    own = build_backbone(96, 3)
    for layer in own.layers:
        source = network.get_layer(BACKBONE).get_layer(layer.name) if layer.weights else None
        if layer.name == "conv1_conv":
            wide = keras.ops.convert_to_numpy(source.kernel)
            kernel = make_weights(timm_shapes())["conv1.weight"].transpose(2, 3, 1, 0)
            ratio = np.linalg.norm(kernel, axis=(0, 1)) / np.linalg.norm(
                wide[:, :, :3], axis=(0, 1)
            )
            layer.kernel.assign(wide[:, :, :3] * ratio)  # undo the scale, filter by filter
        elif source is not None:
            layer.set_weights(source.get_weights())
    return keras.ops.convert_to_numpy(own(make_images(), training=False))


def test_the_features_are_those_that_pytorch_computed(features: np.ndarray) -> None:
    expected = np.load(EXPECTED)["features"]
    assert np.abs(features - expected).max() / np.abs(expected).max() < 1e-5


def test_the_features_are_those_that_pytorch_computes_here(features: np.ndarray) -> None:
    pytest.importorskip("torch", reason="no torch here: the stored features are compared")
    expected = torch_features(make_images())
    assert np.abs(features - expected).max() / np.abs(expected).max() < 1e-5


def test_the_digest_is_that_of_the_file(timm: Path) -> None:
    assert pretrained_sha256(str(timm)) == sha256(timm / "model.safetensors")
    assert pretrained_sha256("none") is None


def test_a_resnet34_has_36_convolutions_and_21_284_672_weights() -> None:
    shapes = timm_shapes()
    assert sum(len(shape) == 4 for shape in shapes.values()) == 36
    learned = [np.prod(shape) for key, shape in shapes.items() if "running" not in key]
    assert sum(learned) == 21_284_672  # torchvision's count without the classifier


@pytest.mark.parametrize("rule", RULES)
def test_a_filter_keeps_the_size_of_its_response_to_channels_that_do_not_correlate(
    rule: str,
) -> None:
    wide = widen(KERNEL, DRAWN, CHANNELS, rule)
    noise = RNG.normal(size=(4000, 7 * 7 * 4)).astype(np.float32)
    before = noise[:, : 7 * 7 * 3] @ KERNEL.reshape(-1, 64)
    after = noise @ wide.reshape(-1, 64)
    # a deviation estimated from 4000 values is off by 1.1 %, their ratio by 1.6 %; 64 filters
    np.testing.assert_allclose(after.std(axis=0) / before.std(axis=0), 1, atol=0.07)
    np.testing.assert_allclose((after.std(axis=0) / before.std(axis=0)).mean(), 1, atol=0.01)


def test_red_green_and_blue_keep_their_proportions_and_yellow_follows_the_rule() -> None:
    for rule, fourth in (
        ("red_blue_mean", (KERNEL[:, :, 0] + KERNEL[:, :, 2]) / 2),
        ("red_copy", KERNEL[:, :, 0]),
    ):
        wide = widen(KERNEL, DRAWN, CHANNELS, rule)
        scale = wide[:, :, 0] / KERNEL[:, :, 0]
        np.testing.assert_allclose(wide[:, :, 1:3], KERNEL[:, :, 1:] * scale[:, :, None], rtol=1e-5)
        np.testing.assert_allclose(wide[:, :, 3], fourth * scale, rtol=1e-3, atol=1e-6)


def four_channels(rule: str) -> np.ndarray:
    """Widen as earlier versions did, which knew red, green, blue and yellow only."""
    norms = np.sqrt(np.square(KERNEL).sum(axis=(0, 1))).mean(axis=0)
    drawn = DRAWN[:, :, 3]
    fourth = {
        "red_blue_mean": (KERNEL[:, :, 0] + KERNEL[:, :, 2]) / 2,
        "red_copy": KERNEL[:, :, 0],
        "random": drawn * norms / np.sqrt(np.square(drawn).sum(axis=(0, 1))),
    }[rule]
    wide = np.zeros((7, 7, 4, 64), np.float32)
    wide[:, :, [0, 1, 2]], wide[:, :, 3] = KERNEL, fourth
    before, after = (np.sqrt(np.square(each).sum(axis=(0, 1, 2))) for each in (KERNEL, wide))
    return np.asarray(wide * np.divide(before, after))


@pytest.mark.parametrize("rule", RULES)
def test_the_four_channels_of_the_preset_start_with_the_same_bits_as_in_earlier_versions(
    rule: str,
) -> None:
    np.testing.assert_array_equal(widen(KERNEL, DRAWN, CHANNELS, rule), four_channels(rule))


def displayed(*colors: str) -> Channels:
    roles = [PROTEIN, NUCLEUS, *[OTHER] * 6]
    each = zip(colors, roles, strict=False)
    return Channels(tuple(Channel(f"c{n}", role, color) for n, (color, role) in enumerate(each)))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "colors", [["green"], ["white"], ["#0000FF", "red", "cyan"], ["green", "blue", "red"] * 2]
)
def test_any_channels_take_the_kernel_of_their_colour_or_the_stated_mean(
    colors: list[str], rule: str
) -> None:
    wide = widen(KERNEL, DRAWN, displayed(*colors), rule)
    assert wide.shape == (7, 7, len(colors), 64)
    norms = [np.sqrt(np.square(kernel).sum(axis=(0, 1, 2))) for kernel in (KERNEL, wide)]
    np.testing.assert_allclose(*norms, rtol=1e-5)  # each filter keeps its norm
    known = {"red": 0, "green": 1, "#0000FF": 2, "blue": 2}
    ratios = [
        wide[:, :, place] / KERNEL[:, :, known[color]]
        for place, color in enumerate(colors)
        if color in known
    ]
    for ratio in ratios:  # one factor per filter
        np.testing.assert_allclose(ratio, np.broadcast_to(ratios[0][0, 0], (7, 7, 64)), rtol=1e-4)
    if rule == "red_blue_mean" and "cyan" in colors:
        mean = (KERNEL[:, :, 0] + KERNEL[:, :, 2]) / 2
        np.testing.assert_allclose(wide[:, :, 2], mean * ratios[0], rtol=1e-4, atol=1e-6)


def test_a_dead_filter_stays_dead() -> None:
    assert not widen(np.zeros_like(KERNEL), DRAWN, CHANNELS, "red_copy").any()


def broken(tmp_path: Path, weights: dict[str, np.ndarray], **changed: np.ndarray | None) -> Path:
    merged = weights | {key.replace("__", "."): value for key, value in changed.items()}
    return write_timm(tmp_path, {key: value for key, value in merged.items() if value is not None})


def test_a_missing_key_is_refused_even_if_another_has_the_same_ending(
    tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    folder = broken(tmp_path, weights, bn1__weight=None)
    with pytest.raises(UserError, match=r"bn1\.weight: expected F32 \[64\], received nothing"):
        check_layout(folder)


def test_a_wrong_shape_and_an_unknown_key_are_refused(
    tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    wide = np.zeros((64, 4, 7, 7), np.float32)
    folder = broken(tmp_path, weights, conv1__weight=wide, extra=wide)
    with pytest.raises(UserError) as caught:
        check_layout(folder)
    assert "conv1.weight: expected F32 [64, 3, 7, 7], received F32 [64, 4, 7, 7]" in str(
        caught.value
    )
    assert "extra: expected nothing, received F32 [64, 4, 7, 7]" in str(caught.value)


def test_another_architecture_is_refused(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    folder = write_timm(tmp_path, weights, architecture="resnet50")
    with pytest.raises(UserError, match="architecture 'resnet50'"):
        check_layout(folder)


def test_weights_in_parts_and_truncated_weights_are_refused(timm: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "resnet34"}')
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    content = (timm / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-1000])
    with pytest.raises(UserError, match=r"in parts[\s\S]*model\.safetensors: "):
        check_layout(tmp_path)


def test_an_absent_folder_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json and no model\.safetensors in .*nowhere"):
        find_weights(str(tmp_path / "nowhere"))


def test_a_relative_folder_is_in_the_repository_in_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the folder of `mlflow run`, which contains no weights."""
    (tmp_path / "mine").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "mine" / name).touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert find_weights("mine") == tmp_path / "mine"


@pytest.mark.parametrize("name", ["imagenet", "resnet34.a1_in1k", "hf://timm/resnet34.a1_in1k"])
def test_offline_without_a_cache_the_error_names_files_and_folder(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(repository: str, file: str) -> str:
        raise OSError(f"no way to {repository}/{file}")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    repository = "timm/resnet34.tv_in1k" if name == "imagenet" else "timm/resnet34.a1_in1k"
    with pytest.raises(UserError) as caught:
        find_weights(name)
    message = str(caught.value)
    assert f"{repository}/resolve/main/model.safetensors" in message
    assert f"no way to {repository}/config.json" in message
    assert f"set model.weights to pretrained/{repository.partition('/')[2]}" in message


def test_weights_are_loaded_into_the_layers_of_the_same_names(
    timm: Path, weights: dict[str, np.ndarray]
) -> None:
    assert load_file(timm / "model.safetensors").keys() > weights.keys()
    network = build_resnet34(32, 4, label_rates=np.full(28, 0.1), dropout=0.0)
    load_pretrained(network, str(timm), CHANNELS, fourth_channel="random")
    norm = network.get_layer(BACKBONE).get_layer("stack2_block5_2_bn")
    np.testing.assert_array_equal(norm.moving_variance, weights["layer3.5.bn2.running_var"])
    np.testing.assert_array_equal(norm.gamma, weights["layer3.5.bn2.weight"])
