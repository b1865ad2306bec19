"""How often and within which ranges each thing of a picture is drawn.

Angles follow the conventions: yaw positive towards the image's left, pitch positive upwards, both
of the direction of face or gaze as seen by the camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from train.factors import factor

LIGHTS = (
    "studio",
    "office",
    "window",
    "lamp",
    "overcast",
    "sun",
    "screen",
    "night_street",
    "car",
)
"""Kinds of light; near infrared is none of them, since the factor ``near_infrared`` decides it."""
BACKGROUNDS = (
    "plain",
    "room",
    "office",
    "car_interior",
    "street",
    "nature",
    "textures",
    "bokeh",
    "clutter",
)
GAZES = ("free", "screen", "camera", "road")
MOST_YAW_DEG = 120
"""Of a head: beyond it a picture shows the back of one."""

CLOSED = 0.045
"""Share of pictures of people who blink: a blink lasts a third of a second, every five or six."""


@dataclass(frozen=True, slots=True)
class Domain:
    """How often and within which ranges each thing is drawn."""

    name: str
    describes: str
    chances: Mapping[str, float]
    """Overrides of the factors' own chances; identity follows a face's shape and has none."""
    lights: Mapping[str, float]
    """Weights of kinds of light, of :data:`LIGHTS`."""
    backgrounds: Mapping[str, float]
    """Weights of kinds of background, of :data:`BACKGROUNDS`."""
    distance_mm: tuple[float, float]
    """Camera to face centre, log-uniform, within 300..3000."""
    horizontal_fov_deg: tuple[float, float]
    """Of the whole frame, uniform."""
    frame_px: tuple[tuple[int, int], ...]
    """(width, height), one is chosen."""
    face_px: tuple[float, float]
    """Pixels of the camera across 140 mm of face, log-uniform, within 40..480."""
    head_yaw_deg: tuple[float, float, float]
    """Mean, standard deviation, limit of the absolute value (at most MOST_YAW_DEG)."""
    head_pitch_deg: tuple[float, float, float]
    """Mean, standard deviation, limit (at most 45)."""
    head_roll_deg: tuple[float, float, float]
    """Mean, standard deviation, limit (at most 30)."""
    gaze: str
    """Where people look.

    'free': anywhere within reach of the eyes, by ``apart`` whatever the head does; 'screen': a
    point of a screen about the camera; 'camera': the lens or what is near it; 'road': mostly far
    away around ``gaze_yaw_deg`` and ``gaze_pitch_deg`` as the camera sees them, with glances
    elsewhere.
    """
    gaze_yaw_deg: tuple[float, float]
    """Mean, standard deviation of the targets; relative to the head where gaze is 'free'."""
    gaze_pitch_deg: tuple[float, float]
    """Mean, standard deviation of the targets; relative to the head where gaze is 'free'."""
    iso: tuple[float, float]
    """Sensor gain: pictures without the factor ``noise`` are near the low end, those with it at
    the high end, so the ends must be far apart where both are drawn."""
    apart: float = 0.5
    """Share of gazes that are drawn in the camera's frame, so that the head tells nothing."""
    against: float = 0.0
    """Share of pictures in which the eyes look against the head: two thirds are heads tilted back
    with eyes down, as over a phone in the hand, a book or a keyboard, the rest the opposite."""
    even_heads: bool = False
    """Heads anywhere within their limits alike, instead of mostly about the mean."""
    screen_mm: tuple[float, float] = (250, 650)
    """Width of what people look at where gaze is 'screen'; it is 0.62 times as high."""
    closed: float = CLOSED
    """Share of pictures with closed eyes."""
    people: Mapping[int, float] = field(default_factory=lambda: {1: 1.0})
    """Weights of the number of faces in a frame."""
    absent: frozenset[str] = frozenset()
    """Parts that :mod:`train.synth.without` took out; 'appearance' also means one medium skin
    tone."""

    def __post_init__(self) -> None:
        for name, chance in self.chances.items():
            if factor(name).scope == "identity":
                raise ValueError(f"{self.name}: {name} follows the face's shape; drop its chance")
            if not 0.0 <= chance <= 1.0:
                raise ValueError(f"{self.name}: chance of {name} is {chance}; expected 0 to 1")
        _check_weights(self.name, "lights", self.lights, LIGHTS)
        _check_weights(self.name, "backgrounds", self.backgrounds, BACKGROUNDS)
        _check_weights(self.name, "people", self.people, tuple(range(1, 13)))
        if self.gaze not in GAZES:
            raise ValueError(f"{self.name}: gaze {self.gaze!r}; expected one of {GAZES}")
        for what, (low, high), least, most in (
            ("distance_mm", self.distance_mm, 300, 3000),
            ("horizontal_fov_deg", self.horizontal_fov_deg, 15, 120),
            ("face_px", self.face_px, 40, 480),
            ("iso", self.iso, 50, 25600),
            ("screen_mm", self.screen_mm, 40, 2000),
        ):
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{self.name}: {what} ({low}, {high}); expected low <= high, both within "
                    f"{least} to {most}"
                )
        for what, share in (
            ("apart", self.apart),
            ("against", self.against),
            ("closed", self.closed),
        ):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{self.name}: {what} is {share}; expected 0 to 1")
        for what, (mean, sd, limit), most in (
            ("head_yaw_deg", self.head_yaw_deg, MOST_YAW_DEG),
            ("head_pitch_deg", self.head_pitch_deg, 45),
            ("head_roll_deg", self.head_roll_deg, 30),
        ):
            if sd < 0 or not abs(mean) <= limit <= most:
                raise ValueError(
                    f"{self.name}: {what} ({mean}, {sd}, {limit}); expected a limit that holds the "
                    f"mean and is at most {most}"
                )


def _check_weights(
    domain: str,
    what: str,
    weights: Mapping[str, float] | Mapping[int, float],
    known: tuple[str | int, ...],
) -> None:
    unknown = [k for k in weights if k not in known]
    if unknown or not weights or min(weights.values()) <= 0:
        raise ValueError(
            f"{domain}: {what} {dict(weights)}; expected positive weights of "
            + ", ".join(map(str, known))
        )
