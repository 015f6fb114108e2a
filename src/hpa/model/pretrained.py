"""Pretrained weights from files in timm's layout: config.json and model.safetensors.

KerasHub converts them to Keras; the result is a network of plain layers that does not need it.
"""

import json
import re
from pathlib import Path

import keras
import numpy as np
from keras import ops

from hpa.errors import UserError, first_lines
from hpa.model.first_layer import CONV1, PURE, filter_norms, kernel_of
from hpa.model.resnet import BACKBONE, BLOCKS, FILTERS
from hpa.system.files import repository_root, sha256
from hpa.vocabulary.channels import Channels

IMAGENET = "hf://timm/resnet34.tv_in1k"
"""Weights trained on ImageNet-1k by torchvision, as in the original recipe."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"
UNREAD = re.compile(r"fc\.(weight|bias)|(.+\.)?num_batches_tracked")
"""Keys outside the backbone: ImageNet's classifier, counters of PyTorch."""


def load_pretrained(
    network: keras.Model, weights: str, channels: Channels, *, fourth_channel: str
) -> None:
    """Load the weights that `model.weights` names into the backbone.

    The network normalises each channel of each image to zero mean and unit variance. On average
    over photographs, ImageNet's fixed means and deviations do the same, so the first layer
    receives values of the range it was trained on. All blocks get their trained scales, in place
    of zeros. The moving averages of the normalisation layers are loaded too.

    Args:
        network: of `build_resnet34`; changed in place.
        weights: see `find_weights`.
        channels: those of the network.
        fourth_channel: see `widen`.

    Raises:
        UserError: files are absent or do not contain a ResNet-34.
    """
    folder = find_weights(weights)
    check_layout(folder)
    from keras_hub.models import ResNetBackbone  # takes seconds to import, and is rarely needed

    shape = (*network.input.shape[1:3], 3)
    source = ResNetBackbone.from_preset(str(folder), image_shape=shape, dtype="float32")
    for layer in network.get_layer(BACKBONE).layers:
        if layer.name == CONV1:
            kernel = ops.convert_to_numpy(source.get_layer(CONV1).kernel)
            drawn = ops.convert_to_numpy(layer.kernel)
            layer.kernel.assign(widen(kernel, drawn, channels, fourth_channel))
        elif layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def widen(
    kernel: np.ndarray, drawn: np.ndarray, channels: Channels, fourth_channel: str
) -> np.ndarray:
    """Return a kernel over any channels from one over red, green and blue.

    A channel displayed in pure red, green or blue takes the kernel of that colour; any other one
    what `fourth_channel` names (see `first_layer.kernel_of`).

    Each filter is scaled by the ratio of its norms before and after. So on uncorrelated channels
    of zero mean and unit variance its response keeps its variance. On identical channels the
    response of colour-blind filters grows by about a sixth, with four channels. (The usual factor
    of 3/4 preserves the latter, but reduces the former by a tenth or more.)

    Args:
        kernel: float32[7,7,3,F] over red, green, blue.
        drawn: float32[7,7,K,F], random kernels.
        channels: the K channels.
        fourth_channel: `red_blue_mean`, `red_copy`, or `random`.
    """
    kernels = [
        kernel_of(channel.hex, kernel, PURE, drawn[:, :, place], fourth_channel)
        for place, channel in enumerate(channels.channels)
    ]
    wide = np.stack(kernels, axis=2).astype(np.float32)
    before, after = (filter_norms(each, axis=(0, 1, 2)) for each in (kernel, wide))
    return wide * np.divide(before, after, out=np.zeros_like(before), where=after > 0)


def pretrained_sha256(weights: str) -> str | None:
    """Digest the file of pretrained weights that `model.weights` names; None for random weights."""
    return None if weights == "none" else sha256(find_weights(weights) / WEIGHTS)


def find_weights(weights: str) -> Path:
    """Return the folder with both files; download them if they are not in the cache.

    Args:
        weights: `imagenet`; a name on the Hugging Face Hub, `hf://timm/resnet34.a1_in1k` or just
            `resnet34.a1_in1k` for timm's; or a folder, relative to the repository.

    Raises:
        UserError: they are not here and cannot be downloaded; says where to put them.
    """
    name = IMAGENET if weights == "imagenet" else weights
    folder = repository_root() / name
    if re.fullmatch(r"resnet34\.\w+", name) and not folder.exists():
        name = f"hf://timm/{name}"
    if name.startswith("hf://"):
        return _download(name.removeprefix("hf://"))
    absent = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
    if absent:
        raise UserError(
            f"model.weights: no {' and no '.join(absent)} in {folder}",
            expected=f"none, imagenet, a name such as {IMAGENET}, a folder with {CONFIG} and "
            f"{WEIGHTS} of timm's resnet34, or an older model: a folder with best.keras, runs:/ID "
            "or models:/NAME@ALIAS",
            received=f"{weights!r}",
            remedy="put the files there, or name another folder",
        )
    return folder


def _download(repository: str) -> Path:
    """Download both files from the Hub into its cache, unless they are there."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        paths = [huggingface_hub.hf_hub_download(repository, file) for file in (CONFIG, WEIGHTS)]
    except (OSError, HFValidationError) as error:
        folder = Path("pretrained", repository.rpartition("/")[2])
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"model.weights: cannot download {repository}, and no cache has it",
            expected="a name on the Hugging Face Hub and a connection, or the files in a folder",
            received=reason,
            remedy=f"download {huggingface_hub.hf_hub_url(repository, CONFIG)} and "
            f"{huggingface_hub.hf_hub_url(repository, WEIGHTS)} into {folder}/ here, then set "
            f"model.weights to {folder}; or set it to none",
        ) from error
    return Path(paths[1]).parent


def check_layout(folder: Path) -> None:
    """Compare keys, shapes and dtypes with timm's ResNet-34 before KerasHub reads the files.

    KerasHub substitutes a key with the same ending for an absent one, prefers the shards of an
    index to the file, and accepts a `config.json` of another kind.

    Raises:
        UserError: there is a difference; the first eight are listed.
    """
    problems = _config_problems(folder) + _weight_problems(folder / WEIGHTS)
    if problems:
        raise UserError(
            f"model.weights: {folder} does not contain a ResNet-34 in timm's layout",
            expected=f"{CONFIG} with architecture resnet34; {WEIGHTS} with its keys and shapes",
            received="\n    ".join(["", *first_lines(problems)]),
            remedy=f"use the files of {IMAGENET}, or of another resnet34 of timm",
        )


def timm_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of timm's ResNet-34 below its classifier: 36 convolutions and norms."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(conv: str, norm: str, n_out: int, n_in: int, size: int) -> None:
        shapes[f"{conv}.weight"] = (n_out, n_in, size, size)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (n_out,)

    convolution("conv1", "bn1", 64, 3, 7)
    n_in = 64
    for stack, (n_blocks, n_out) in enumerate(zip(BLOCKS, FILTERS, strict=True), start=1):
        for block in range(n_blocks):
            name = f"layer{stack}.{block}"
            convolution(f"{name}.conv1", f"{name}.bn1", n_out, n_in, 3)
            convolution(f"{name}.conv2", f"{name}.bn2", n_out, n_out, 3)
            if n_in != n_out:
                convolution(f"{name}.downsample.0", f"{name}.downsample.1", n_out, n_in, 1)
            n_in = n_out
    return shapes


def _config_problems(folder: Path) -> list[str]:
    index = f"{WEIGHTS}.index.json"
    problems = [f"{index}: the weights are in parts"] if (folder / index).exists() else []
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [*problems, f"{CONFIG}: {error}"]
    kind = config if isinstance(config, dict) else {}
    if kind.get("architecture") != "resnet34" or kind.keys() & {"registered_name", "model_type"}:
        problems.append(f"{CONFIG}: architecture {kind.get('architecture')!r}")
    return problems


def _weight_problems(path: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            keys = [key for key in file.keys() if not UNREAD.fullmatch(key)]  # noqa: SIM118
            slices = {key: file.get_slice(key) for key in keys}
            described = {key: (tuple(x.get_shape()), x.get_dtype()) for key, x in slices.items()}
    except (OSError, SafetensorError) as error:
        return [f"{WEIGHTS}: {error}"]
    expected = {key: (shape, "F32") for key, shape in timm_shapes().items()}
    return [
        f"{key}: expected {_text(expected.get(key))}, received {_text(described.get(key))}"
        for key in expected | described
        if expected.get(key) != described.get(key)
    ]


def _text(described: tuple[tuple[int, ...], str] | None) -> str:
    return "nothing" if described is None else f"{described[1]} {list(described[0])}"
