"""Compute the reference features of tests/model/test_pretrained.py with PyTorch's ResNet-34.

    python tests/model/parity/expected.py     writes expected.npz beside it; needs torch (CPU)

Weights and images come from NumPy, so the test can reproduce them without torch. The network is
implemented here after He et al. 2016 with torchvision's layout and timm's weight names, so that
neither torchvision nor timm is needed.
"""

from pathlib import Path

import numpy as np

EXPECTED = Path(__file__).with_name("expected.npz")
BLOCKS, FILTERS = (3, 4, 6, 3), (64, 128, 256, 512)


def make_images() -> np.ndarray:
    """Return float32[2,96,96,3] of zero mean and unit variance."""
    return np.random.default_rng(17).normal(size=(2, 96, 96, 3)).astype(np.float32)


def make_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Draw weights whose statistics are far from trivial, in the order of the keys' names."""
    rng = np.random.default_rng(34)
    weights = {}
    for key in sorted(shapes):
        shape = shapes[key]
        if len(shape) == 4:  # variance kept by a convolution that ReLU follows
            drawn = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif key.endswith("running_var"):
            drawn = rng.uniform(0.5, 2.0, shape)
        elif key.endswith("weight"):
            drawn = rng.uniform(0.4, 1.2, shape)
        else:
            drawn = rng.normal(0, 0.3, shape)
        weights[key] = drawn.astype(np.float32)
    return weights


def torch_features(images: np.ndarray, weights: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """Return float32[B,H/32,W/32,512] of PyTorch in evaluation mode."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, n_in: int, n_out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(n_out)
            self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(n_out)
            self.downsample = None
            if n_in != n_out:
                narrow = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
                self.downsample = nn.Sequential(narrow, nn.BatchNorm2d(n_out))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shortcut = x if self.downsample is None else self.downsample(x)
            x = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(x)) + shortcut)

    class ResNet34(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            n_in = 64
            for stack, (n_blocks, n_out) in enumerate(zip(BLOCKS, FILTERS, strict=True), start=1):
                strides = [1 if stack == 1 else 2] + [1] * (n_blocks - 1)
                inputs = [n_in] + [n_out] * (n_blocks - 1)
                blocks = [Block(i, n_out, s) for i, s in zip(inputs, strides, strict=True)]
                self.add_module(f"layer{stack}", nn.Sequential(*blocks))
                n_in = n_out

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            for stack in range(1, 5):
                x = self.get_submodule(f"layer{stack}")(x)
            return x

    network = ResNet34().eval()
    state = {
        key: tuple(value.shape)
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    weights = make_weights(state) if weights is None else weights
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=False)
    assert weights.keys() == state.keys()
    with torch.no_grad():
        features = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return features.numpy().transpose(0, 2, 3, 1)


if __name__ == "__main__":
    np.savez_compressed(EXPECTED, features=torch_features(make_images()))
    print(f"wrote {EXPECTED}")
