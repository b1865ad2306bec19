"""The gaze CNN of CLIP-Gaze: backbone E, feature separator M, fully connected F.

    x ──E──> f ──M──> f_re ──F──> (pitch, yaw)

Any CNN of timm can be E, besides this project's own for CPUs: ``eyes``, which looks at sheets of
eye patches (``train.gaze.sheets``), and ``small``, ``medium`` and ``twin``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.front.networks import Block, conv
from train.gaze import sheets
from train.gaze.eye_backbone import EyeBackbone, EyeSigns

SIZE_PX = 224
BAND = (32, 128)
"""Rows of a 224 × 224 crop that hold the eyes and their surroundings."""

MEAN, STD = (0.45, 0.40, 0.37), (0.25, 0.24, 0.24)
"""Of pixels in [0, 1], for weights that start at random."""

OWN = {"small": 16, "medium": 24, "twin": 24, "eyes": 24}
"""This project's own backbones, and the channels that each starts with."""
TWIN, EYES = "twin", "eyes"

SWITCHES = ("band", "half", "separator", "signed", "heat", "told", "standardized")
"""Of :class:`Architecture`, of :class:`GazeModel` and of a recipe alike."""

LOG_SIGMA = -2.5
"""Natural log of the standard deviation in radians (4.7°) that an untrained model states."""


class Outputs(NamedTuple):
    """What the model says of B crops; float32, whatever the precision (of ``eyes`` the points)."""

    gaze: Tensor
    """(B, 2) pitch and yaw in radians."""
    log_sigma: Tensor
    """(B, 1) natural log of one standard deviation of the gaze's angular error, in radians."""
    f: Tensor
    """(B, width) feature before the separator; with two ways, of the picture as it is."""
    f_re: Tensor
    """(B, width) feature after it; likewise."""
    feature_map: Tensor
    """(B, C, h, w) the backbone's last map, before pooling."""
    pooled: Tensor
    """(B, ways, P) what the backbone's head gives: two ways of ``twin`` and ``eyes``, of the
    picture as it is and of its mirror image, else one.  :meth:`GazeModel.answer` says the rest."""
    eyes: EyeSigns | None = None
    """What ``eyes`` sees of lids and irises."""


class ModelError(ValueError):
    """A model that cannot be had, or weights that do not fit; says what to do."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What weights must agree with; travels with every checkpoint."""

    backbone: str = "resnet18"
    """One of OWN (this project's), or a CNN that timm knows by this name."""
    width: int = 512
    """Of f and f_re; CLIP's, where a method compares them (512 for ViT-B)."""
    band: bool = False
    """Look at rows 32 to 127 of the crop only."""
    half: bool = False
    """Look at half the resolution: a quarter of the work, for studies on a CPU."""
    separator: bool = True
    """With M; without, f_re is f."""
    signed: bool = True
    """E ends in a linear layer, so that f has both signs, as CLIP's features have.  Without (the
    first networks) f is what a ReLU or a mean of such gives, and L_d cannot fall below 0.14."""
    pretrained: bool = False
    """Started from timm's weights for ImageNet, which have licences of their own."""
    mean: tuple[float, ...] = field(default=MEAN)
    std: tuple[float, ...] = field(default=STD)
    heat: bool = True
    """Of ``eyes``: gaze is also made of points that heat maps find."""
    told: bool = False
    """Of ``eyes``: the head's direction, as the pipeline sees it, is told."""
    standardized: bool = False
    """Of ``eyes``: each patch is seen less its own mean, over its own contrast."""

    @property
    def ways(self) -> int:
        """How many rows of features a picture has: two where a mirrored one is seen as well."""
        return 2 if self.backbone in (TWIN, EYES) else 1

    @property
    def rows(self) -> tuple[int, int]:
        """First row of the 224 × 224 crop that the backbone sees, and the one after the last."""
        return BAND if self.band else (0, SIZE_PX)

    @property
    def input_px(self) -> tuple[int, int]:
        """Height and width of what the backbone sees."""
        if self.backbone == EYES:
            return sheets.SHEET_PX
        shrink = 2 if self.half else 1
        return (self.rows[1] - self.rows[0]) // shrink, SIZE_PX // shrink

    def to_dict(self) -> dict[str, Any]:
        """For cards and checkpoints."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}


def _plan(height: int, width_px: int, channels: int, *, half: bool) -> tuple[list[int], int, int]:
    """Channels of the stages, those of the squeezed map, and how many numbers that map has."""
    widths = [channels * k for k in (1, 2, 4, 7, 8)]
    if half:
        widths.pop()
    cells = -(-height >> len(widths)) * -(-width_px >> len(widths))
    last = 64 if cells <= 24 else 32
    return widths, last, last * cells


class SmallBackbone(nn.Module):
    """For CPUs: residual stages, then all places of the last map, flattened.

    Pooling would lose where in the picture an iris is; the flattened map keeps it.  A picture of
    half the resolution has one stage less, for a map of as many places.
    """

    def __init__(self, height: int, width_px: int, width: int, channels: int = 16) -> None:
        super().__init__()
        widths, last, count = _plan(height, width_px, channels, half=width_px < SIZE_PX)
        # In this order: a seed is to give the weights that it gave to earlier runs.
        blocks = [Block(a, b) for a, b in itertools.pairwise(widths)]
        self.stages = nn.Sequential(conv(3, channels, 2), *blocks)
        self.squeeze = conv(widths[-1], last, size=1)
        self.linear = nn.Linear(count, width)
        self.num_features = widths[-1]

    def forward_features(self, image: Tensor) -> Tensor:
        """(B, C, h/32, w/32); /16 at half the resolution."""
        found: Tensor = self.stages(image)
        return found

    def forward_head(self, feature_map: Tensor) -> Tensor:
        """(B, width)."""
        return F.relu(self.linear(self.squeeze(feature_map).flatten(1)))


class TwinBackbone(nn.Module):
    """One network for both eyes: the right half of the picture is mirrored, and shares its weights.

    An eye in a mirror is the other eye, so whatever is learnt from one serves both.  The map of a
    mirrored picture is the mirrored map, exactly: :class:`GazeModel` needs to see no second
    picture to say the same of both.  The halves overlap by a seventh of the picture, which keeps
    an eye whole where the head is turned far.
    """

    def __init__(self, height: int, width_px: int, width: int, channels: int = 24) -> None:
        super().__init__()
        self.height, self.window = height, width_px // 2 + width_px // 14
        widths, last, count = _plan(height, self.window, channels, half=width_px < SIZE_PX)
        self.stages = nn.Sequential(
            conv(3, channels, 2), *(Block(a, b) for a, b in itertools.pairwise(widths))
        )
        self.squeeze = conv(widths[-1], last, size=1)
        self.eye = nn.Linear(count, width // 2)
        self.linear = nn.Linear(2 * (width // 2), width)
        self.num_features = widths[-1]

    def forward_features(self, image: Tensor) -> Tensor:
        """(2B, C, h, w): of the left half, and of the mirrored right half, of each picture."""
        left, right = image[..., : self.window], image[..., -self.window :]
        halves = torch.stack([left, right.flip(-1)], 1)
        # Sizes that are known: a graph that is exported for any B has no arithmetic of shapes.
        found: Tensor = self.stages(halves.reshape(-1, 3, self.height, self.window))
        return found

    def forward_head(self, feature_map: Tensor) -> Tensor:
        """(2B, width): of each picture, and of its mirror image."""
        eyes = F.relu(self.eye(self.squeeze(feature_map).flatten(1)))
        eyes = eyes.reshape(-1, 2, self.eye.out_features)
        ways = torch.cat([eyes, eyes.flip(1)], 2)
        return F.relu(self.linear(ways.reshape(-1, 2 * self.eye.out_features)))

    def whole_map(self, feature_map: Tensor) -> Tensor:
        """(B, C, h, 2w): the map of the left half beside that of the right one."""
        maps = feature_map.unflatten(0, (-1, 2))
        return torch.cat([maps[:, 0], maps[:, 1].flip(-1)], -1)


class GazeModel(nn.Module):
    """Gaze of face crops: ``GazeModel("resnet18")(uint8 images (B, 3, 224, 224)).gaze``.

    Takes RGB as uint8 or as float in [0, 1], whole 224 × 224 crops (with ``band`` also the 96 rows
    alone, with ``half`` also what is shrunk already), and normalises by its own mean and std.  The
    backbone runs in the precision around it, what follows in float32.  The linear layer that ends
    E (:attr:`Architecture.signed`), M's shape (Linear, ReLU, Linear) and the uncertainty head are
    ours; that head reads f_re detached, so that it describes the gaze without changing it.

    ``eyes`` takes sheets (B, 3, 48, 208) instead, and where it is ``told`` the head (B, 2);
    :meth:`of` makes these of a batch of crops.

    ``twin`` and ``eyes`` see two ways of a picture: as it is, and mirrored.  Gaze and uncertainty
    are of both; f and f_re are of the first alone, so that L_d, W, L_ir, L_re, CDG and whatever
    looks at features compare with CLIP what CLIP saw.  The second way shares all weights.

    Raises :class:`ModelError` for a backbone that timm has not, or weights that it cannot get.
    """

    mean: Tensor
    std: Tensor
    ways: Tensor

    def __init__(
        self,
        backbone: str = "resnet18",
        width: int = 512,
        pretrained: bool = False,
        *,
        band: bool = False,
        half: bool = False,
        separator: bool = True,
        signed: bool = True,
        heat: bool = True,
        told: bool = False,
        standardized: bool = False,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ModelError(f"width is {width}; expected CLIP's, such as 512")
        if backbone == EYES and (band or half):
            raise ModelError("'eyes' sees patches of its own; leave band and half out")
        if backbone != EYES and (told or standardized or not heat):
            raise ModelError(f"{backbone!r} has no heat, told or standardized; 'eyes' has")
        mean, std = MEAN, STD
        if backbone in OWN:
            if pretrained:
                raise ModelError(f"{backbone!r} has no pretrained weights; leave them out")
            self.backbone: Any
            if backbone == EYES:
                self.backbone = EyeBackbone(
                    width, OWN[EYES], heat=heat, told=told, standardized=standardized
                )
            else:
                pixels = Architecture(band=band, half=half).input_px
                kind = TwinBackbone if backbone == TWIN else SmallBackbone
                self.backbone = kind(*pixels, width, OWN[backbone])
            pooled = width
        else:
            self.backbone = _timm_backbone(backbone, pretrained)
            pooled = _pooled_width(self.backbone, backbone)
            if pretrained:
                mean, std = (tuple(self.backbone.pretrained_cfg[k]) for k in ("mean", "std"))
        self.architecture = Architecture(
            backbone,
            width,
            band,
            half,
            separator,
            signed,
            pretrained,
            tuple(mean),
            tuple(std),
            heat,
            told,
            standardized,
        )
        self.map_channels = int(self.backbone.num_features)
        plain = pooled == width and not signed
        self.projection = nn.Identity() if plain else nn.Linear(pooled, width)
        self.separator: nn.Module = nn.Identity()
        if separator:
            self.separator = nn.Sequential(
                nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, width)
            )
        self.gaze = nn.Linear(width, 2)
        self.sigma = nn.Sequential(nn.Linear(width, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        ways = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        self.register_buffer("ways", ways, persistent=False)

    def forward(self, image: Tensor, told: Tensor | None = None) -> Outputs:
        """See the class; ``told`` (B, 2) is the head's direction, for a model that is told it."""
        eyes = None
        if self.architecture.backbone == EYES:
            feature_map, pooled, eyes = self.backbone(self.normalized(image), told)
        else:
            feature_map = self.backbone.forward_features(self.normalized(image))
            pooled = self.backbone.forward_head(feature_map)
        # bfloat16 keeps three digits, too few for angles and for differences of cosines.
        with torch.autocast(image.device.type, enabled=False):
            pooled = pooled.float()
            f, f_re, gaze, log_sigma = self.answer(pooled)
            if self.architecture.backbone == TWIN:
                feature_map = self.backbone.whole_map(feature_map)
            by_picture = pooled.unflatten(0, (-1, self.architecture.ways))
            return Outputs(gaze, log_sigma, f, f_re, feature_map.float(), by_picture, eyes)

    def of(self, batch: Mapping[str, Tensor]) -> Outputs:
        """What the model says of a batch of ``train.data.samples``, or of an augmented one."""
        out: Outputs = self(self.seen(batch), self.told(batch))
        return out

    @property
    def has_heat(self) -> bool:
        """Whether heat maps say where lids and irises are."""
        return self.architecture.backbone == EYES and self.architecture.heat

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the model looks at: crops (B, 3, 224, 224), or sheets (B, 3, 48, 208) of them."""
        image = batch["image"]
        if self.architecture.backbone != EYES or image.shape[-2:] == sheets.SHEET_PX:
            return image
        return sheets.cut(image, sheets.on_whole_pixels(sheets.eye_places(batch)))

    def told(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        """The head (B, 2) as the pipeline saw it, else as it is, else facing the camera."""
        if not self.architecture.told:
            return None
        unknown = torch.full((len(batch["image"]), 2), torch.nan, device=batch["image"].device)
        head = batch.get("head", unknown)
        seen = batch.get("seen_head", unknown)
        return torch.where(seen.isfinite(), seen, head).nan_to_num()

    def answer(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """f, f_re, gaze, log_sigma of B pictures, of what the backbone's head gives (ways · B, P).

        All that answers goes through here: training, adaptation, what is exported.  Where there
        are two ways, two things are said of a picture, one row after the other, the second as if
        it were mirrored; they count alike.
        """
        f = self.projection(pooled)
        f_re = self.separator(f)
        gaze, log_sigma = self.gaze(f_re), self.sigma(f_re.detach()) + LOG_SIGMA
        if self.architecture.ways == 2:
            f, f_re = f[::2], f_re[::2]
            gaze = (gaze.reshape(-1, 2, 2) * self.ways).mean(1)
            log_sigma = log_sigma.reshape(-1, 2, 1).mean(1)
        return f, f_re, gaze, log_sigma

    def pixels(self, image: Tensor) -> Tensor:
        """What the backbone looks at, float in [0, 1], (B, 3, *input_px)."""
        if image.shape[-2] == SIZE_PX and self.architecture.backbone != EYES:
            image = image[..., slice(*self.architecture.rows), :]
        if not image.is_floating_point():
            image = image.float() / 255
        shrink = self.architecture.half and image.shape[-1] == SIZE_PX
        return F.avg_pool2d(image, 2) if shrink else image

    def normalized(self, image: Tensor) -> Tensor:
        """Pixels less the mean, over the standard deviation."""
        x = (self.pixels(image) - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)

    def card(self) -> dict[str, Any]:
        """Architecture, input and size, to write beside the weights."""
        return {
            "architecture": self.architecture.to_dict(),
            "input_px": list(self.architecture.input_px),
            "parameters": sum(p.numel() for p in self.parameters()),
        }


def model_of(architecture: Architecture) -> GazeModel:
    """A model with random weights of this architecture, to load weights into."""
    a = architecture
    model = GazeModel(a.backbone, a.width, **{name: getattr(a, name) for name in SWITCHES})
    model.architecture = architecture
    model.mean.copy_(torch.tensor(a.mean).view(1, 3, 1, 1))
    model.std.copy_(torch.tensor(a.std).view(1, 3, 1, 1))
    return model


def _timm_backbone(name: str, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:6]}*")[:5]) or "resnet18, mobilenetv3_small_100"
        own = ", ".join(OWN)
        raise ModelError(f"timm has no backbone {name!r}; expected {own}, or such as {near}")
    try:
        backbone = timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="avg")
    except Exception as error:  # of whichever library fetches the weights
        if not pretrained:
            raise ModelError(f"timm cannot build {name!r} with average pooling: {error}") from error
        raise ModelError(
            f"cannot get the pretrained weights of {name!r} ({error}); they are downloaded once, "
            "so either allow that or start from random weights"
        ) from error
    return backbone


def _pooled_width(backbone: Any, name: str) -> int:
    """Width after pooling (a MobileNet's head widens it); refuses what is not a CNN."""
    training = backbone.training
    try:
        with torch.no_grad():
            feature_map = backbone.eval().forward_features(torch.zeros(1, 3, 96, SIZE_PX))
            width = int(backbone.forward_head(feature_map).shape[-1])
        if feature_map.ndim != 4 or feature_map.shape[1] != backbone.num_features:
            raise ValueError(f"its feature has shape {tuple(feature_map.shape)}")
    except Exception as error:  # of whatever kind the backbone raises
        raise ModelError(f"{name!r} is no CNN that takes any size ({error}); take one") from None
    backbone.train(training)
    return width
