"""The front end's networks, detector and landmarks: small dense CNNs that a CPU trains in minutes.

Each takes float32 RGB images (batch, 3, height, width), already normalised, and returns a dict
whose keys are the output names of its ONNX file.  What the last layers say is float32, whatever the
precision around them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LANDMARKS = 70
STRIDES = (8, 16, 32)


class Block(nn.Module):
    """A 3×3 convolution (with stride) followed by a residual pair, batch norm throughout."""

    def __init__(self, inputs: int, outputs: int, stride: int = 2, *, pairs: int = 1) -> None:
        super().__init__()
        self.enter = conv(inputs, outputs, stride)
        self.pairs = nn.ModuleList(
            nn.Sequential(conv(outputs, outputs), conv(outputs, outputs, act=False))
            for _ in range(pairs)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for pair in self.pairs:
            x = F.relu(x + pair(x))
        return x


def conv(
    inputs: int, outputs: int, stride: int = 1, *, act: bool = True, size: int = 3
) -> nn.Module:
    """Convolution, batch norm and, with ``act``, a ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if act:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def float32(x: Tensor) -> Tensor:
    """As it is where it is float32, so that an exported graph casts nothing."""
    return x if x.dtype == torch.float32 else x.float()


class LandmarkNetwork(nn.Module):
    """68 landmarks and both irises, which of these are seen, how open the eyes are, presence."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        w = width
        self.body = nn.Sequential(
            conv(3, w, 2),
            Block(w, 2 * w),
            Block(2 * w, 4 * w),
            Block(4 * w, 6 * w),
            Block(6 * w, 8 * w),
            nn.Flatten(),
            nn.Linear(8 * w * 16, 256),
            nn.ReLU(inplace=True),
        )
        self.points = nn.Linear(256, LANDMARKS * 2)
        self.visibility = nn.Linear(256, LANDMARKS)
        self.openness = nn.Linear(256, 2)
        self.presence = nn.Linear(256, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        feature = self.body(image)
        # bfloat16 keeps three digits, too few for where a point is.
        with torch.autocast(feature.device.type, enabled=False):
            feature = float32(feature)
            return {
                "points": self.points(feature).reshape(-1, LANDMARKS, 2),
                "visibility": torch.sigmoid(self.visibility(feature)),
                "openness": torch.sigmoid(self.openness(feature)),
                "presence": torch.sigmoid(self.presence(feature)).squeeze(-1),
            }


class DetectorNetwork(nn.Module):
    """One-stage, anchor-free face detector with three strides and a small feature pyramid.

    Per cell: a score, the distances to the four sides of the box and the offsets of five points,
    all in units of the stride (the layout that ``decode_detections`` reads).
    """

    def __init__(self, width: int = 16, head: int = 48) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(conv(3, w, 2), conv(w, 2 * w, 2))
        self.stages = nn.ModuleList([Block(2 * w, 3 * w), Block(3 * w, 5 * w), Block(5 * w, 8 * w)])
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels, head, 1) for channels in (3 * w, 5 * w, 8 * w)
        )
        self.head = nn.Sequential(conv(head, head), conv(head, head))
        self.out = nn.Conv2d(head, 15, 1)
        nn.init.constant_(self.out.bias[:1], -4.0)  # type: ignore[index]
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        raw = self.raw(image)
        return {
            "scores": torch.sigmoid(raw[..., 0]),
            "boxes": torch.exp(raw[..., 1:5].clamp(-6.0, 5.0)),
            "points": raw[..., 5:],
        }

    def raw(self, image: Tensor) -> Tensor:
        """(batch, anchors, 15): logit, log distances, point offsets."""
        x = self.stem(image)
        features = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            features.append(lateral(x))
        for k in (1, 0):
            features[k] = features[k] + F.interpolate(
                features[k + 1], scale_factor=2.0, mode="nearest"
            )
        out = []
        for k, feature in enumerate(features):
            feature = self.head(feature)
            with torch.autocast(feature.device.type, enabled=False):
                y = self.out(float32(feature))
                y = torch.cat([y[:, :5], y[:, 5:] * self.scale[k]], 1)
                out.append(y.permute(0, 2, 3, 1).reshape(y.shape[0], -1, 15))
        return torch.cat(out, 1)
