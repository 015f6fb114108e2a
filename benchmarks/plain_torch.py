"""Reference of the speed benchmarks: ResNet-34 and its training step in plain PyTorch.

It uses PyTorch's recommended options: channels_last, a fused AdamW, the loss from logits, gradients
set to None. It imports torch alone, so that any Python with torch runs it. The CPU build is small
and has an index of its own; its command is at https://pytorch.org/get-started/locally under "CPU".
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

N_CHANNELS, N_LABELS = 4, 28
GREY_LEVEL = 1 / 255


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016, figure 5, left)."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_inputs, n_outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_outputs)
        self.conv2 = nn.Conv2d(n_outputs, n_outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or n_inputs != n_outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False), nn.BatchNorm2d(n_outputs)
            )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return float32[B,C,H/stride,W/stride]."""
        changed = functional.relu(self.bn1(self.conv1(features)), inplace=True)
        changed = self.bn2(self.conv2(changed))
        return functional.relu(changed + self.shortcut(features), inplace=True)


class ResNet34(nn.Module):
    """Network of `hpa.model.resnet`: the same layers, with the normalisation of each image."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(N_CHANNELS, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks, n_inputs = [], 64
        for number, (n_blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
            for block in range(n_blocks):
                blocks.append(Block(n_inputs, width, 2 if number and not block else 1))
                n_inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.BatchNorm1d(1024), nn.Dropout(dropout), nn.Linear(1024, N_LABELS)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits float32[B,28] from uint8[B,4,S,S]."""
        pixels = images.float() / 255
        variance, mean = torch.var_mean(pixels, dim=(2, 3), keepdim=True, correction=0)
        pixels = (pixels - mean) * torch.rsqrt(variance + GREY_LEVEL**2)
        features = self.blocks(self.stem(pixels.to(memory_format=torch.channels_last)))
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return self.head(pooled)


def focal_loss(logits: torch.Tensor, y_true: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """Return the mean over labels and images (Lin et al. 2017, eq. 5), stable in logits."""
    entropy = functional.binary_cross_entropy_with_logits(logits, y_true, reduction="none")
    return ((1 - torch.exp(-entropy)) ** gamma * entropy).mean()


def make_optimizer(model: nn.Module, n_steps: int) -> tuple[Any, Any]:
    """Return AdamW without decay of norms and biases, and a schedule of warm-up and cosine."""
    decayed = [each for each in model.parameters() if each.ndim > 1]
    spared = [each for each in model.parameters() if each.ndim <= 1]
    groups = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3, weight_decay=0.01, eps=1e-10, fused=True)
    warmup = max(n_steps // 10, 1)

    def rate(step: int) -> float:
        if step < warmup:
            return step / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (n_steps - warmup)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


class Trainer:
    """Model and its training step."""

    def __init__(self, n_steps: int = 100_000, device: str = "cpu", bfloat16: bool = False) -> None:
        torch.manual_seed(7)
        model = ResNet34().to(device).to(memory_format=torch.channels_last).train()
        self.device, self.bfloat16 = device, bfloat16
        self.optimizer, self.schedule = make_optimizer(model, n_steps)
        self.model = torch.compile(model) if device != "cpu" else model

    def step(self, images: torch.Tensor, y_true: torch.Tensor) -> torch.Tensor:
        """Do a step on uint8[B,S,S,4] and float32[B,28]; return the loss, still on the device."""
        images = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        y_true = y_true.to(self.device, non_blocking=True)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
            logits = self.model(images)
        loss = focal_loss(logits.float(), y_true)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()
