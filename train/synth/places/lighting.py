"""Light on a face: an environment map, its irradiance as spherical harmonics, and area lights.

A Lambertian surface of albedo a and unit normal n has the radiance
``a * (irradiance(n) + sum of color * max(0, n . direction))`` before shadows: the strongest parts
of the environment are taken out of it and given as lights, so nothing counts twice.

The map (32 rows, 64 columns) is in the camera frame: row 0 is up (−y), the middle column is +z
(what the camera sees behind the head), the outer columns are −z (behind the camera), columns to
the right are towards +x.  In a shader, with texture rows from the top:
``uv = vec2(atan(d.x, d.z) / TAU + 0.5, acos(-d.y) / PI)``.

The nine harmonics are, in order, the real orthonormal Y00, Y1-1, Y10, Y11, Y2-2, Y2-1, Y20, Y21
and Y22::

    0.282095, 0.488603 y, 0.488603 z, 0.488603 x,
    1.092548 x y, 1.092548 y z, 0.315392 (3 z z - 1), 1.092548 x z, 0.546274 (x x - y y)

of the normal in the camera frame; the convolution with the clamped cosine, divided by pi, scales
the bands by 1, 2/3 and 1/4 (Ramamoorthi and Hanrahan, An Efficient Representation for Irradiance
Environment Maps, 2001).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from train.synth.places.environments import PAINTERS, Surroundings, Tints
from train.synth.places.photographed import Panorama, Turned, turned

Floats = NDArray[np.float64]
ROWS, COLUMNS = 32, 64
KINDS = tuple(PAINTERS)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_BANDS = np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])

# Per kind: reciprocal megakelvins of the main and of the other lights (ranges), and the share of
# the light that does not come from the main ones.
_MIRED = {
    "studio": ((179, 200), (179, 200)),
    "office": ((200, 286), (120, 180)),
    "window": ((110, 180), (200, 380)),
    "lamp": ((312, 400), (250, 400)),
    "overcast": ((133, 167), (140, 190)),
    "sun": ((172, 230), (67, 120)),
    "screen": ((100, 170), (250, 400)),
    "night_street": ((220, 500), (200, 480)),
    "car": ((130, 180), (150, 200)),
    "infrared": ((180, 180), (180, 180)),
}
_FILL = {
    "studio": (0.25, 0.55),
    "office": (0.35, 0.65),
    "window": (0.22, 0.5),
    "lamp": (0.25, 0.5),
    "overcast": (0.6, 0.95),
    "sun": (0.3, 0.5),
    "screen": (0.25, 0.5),
    "night_street": (0.25, 0.5),
    "car": (0.3, 0.6),
    "infrared": (0.05, 0.2),
}


@dataclass(frozen=True, slots=True)
class Light:
    """A round light at a distance that is large against the head."""

    direction: Floats
    """(3,) unit, towards the light, camera frame."""
    color: NDArray[np.float32]
    """(3,) irradiance / pi at a surface that faces it, linear."""
    size_rad: float
    """Angular radius: sun 0.005, bulb 0.03, window 0.3."""


@dataclass(frozen=True, slots=True)
class Lighting:
    """All light of one picture; see the module for the frames."""

    kind: str
    environment: NDArray[np.float32]
    """(32, 64, 3) linear radiance without the lights."""
    irradiance: NDArray[np.float32]
    """(9, 3) harmonics of the environment's irradiance / pi."""
    lights: tuple[Light, Light, Light]
    """The strongest first; black ones where there are fewer."""
    near_infrared: bool
    real: Turned | None = None
    """The panorama that gives this light and is seen behind the head; None for a painted place."""


def environment_direction(row: ArrayLike, column: ArrayLike) -> Floats:
    """Unit vectors (..., 3) of places in the map; the centre of pixel i is at i."""
    theta = (np.asarray(row, np.float64) + 0.5) * (np.pi / ROWS)
    phi = ((np.asarray(column, np.float64) + 0.5) / COLUMNS - 0.5) * 2 * np.pi
    theta, phi = np.broadcast_arrays(theta, phi)
    return np.stack([np.sin(theta) * np.sin(phi), -np.cos(theta), np.sin(theta) * np.cos(phi)], -1)


def harmonics(normals: ArrayLike) -> Floats:
    """The nine basis functions (..., 9) at unit vectors (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(normals, np.float64), -1, 0)
    one = 0.282095 * np.ones_like(x)
    first = [0.488603 * y, 0.488603 * z, 0.488603 * x]
    second = [1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z]
    return np.stack([one, *first, *second, 0.546274 * (x * x - y * y)], -1)


@lru_cache(maxsize=1)
def _grid() -> tuple[Floats, Floats, Floats, Floats]:
    """Fine rays (64, 128, 3), coarse rays (32, 64, 3), solid angles (32, 1), projection (9, N)."""
    r, c = np.mgrid[0 : 2 * ROWS, 0 : 2 * COLUMNS]
    fine = environment_direction((r + 0.5) / 2 - 0.5, (c + 0.5) / 2 - 0.5)
    r, c = np.mgrid[0:ROWS, 0:COLUMNS]
    rays = environment_direction(r, c)
    edges = np.cos(np.linspace(0, np.pi, ROWS + 1))
    solid = ((edges[:-1] - edges[1:]) * 2 * np.pi / COLUMNS)[:, None]
    basis = harmonics(rays) * solid[..., None]
    return fine, rays, solid, basis.reshape(-1, 9).T * _BANDS[:, None]


def irradiance_harmonics(environment: NDArray[np.float32]) -> NDArray[np.float32]:
    """(9, 3) so that ``harmonics(n) @ it`` is the irradiance / pi at normal n."""
    return np.asarray(_grid()[3] @ environment.reshape(-1, 3), np.float32)


def shade(lighting: Lighting, normals: ArrayLike) -> Floats:
    """Radiance (..., 3) of a white Lambertian surface without shadows."""
    n = np.asarray(normals, np.float64)
    out = np.maximum(harmonics(n) @ lighting.irradiance, 0)
    for light in lighting.lights:
        out = out + np.maximum(n @ light.direction, 0)[..., None] * light.color
    return np.asarray(out)


def backdrop(lighting: Lighting) -> Floats:
    """Mean radiance (3,) of what the camera sees behind the head, large lights there included."""
    _, rays, solid, _ = _grid()
    weight = solid * (rays[..., 2] > 0.8)
    total = (weight[..., None] * lighting.environment).sum((0, 1))
    for light in lighting.lights:
        if light.size_rad > 0.1 and light.direction[2] > 0.8:
            total = total + np.pi * light.color
    return np.asarray(total / weight.sum())


@lru_cache(maxsize=1)
def _locus() -> Floats:
    """Linear sRGB of unit luminance (601, 3) at 0 to 600 mired (only 40 to 600 are meaningful).

    The CIE daylight locus (CIE 15:2004) up to 200 mired, Planck's law beyond 250, with the colour
    matching functions of Wyman, Sloan and Shirley (JCGT 2013), and a mixture between.
    """
    kelvin = 1e6 / np.maximum(np.arange(601), 40)
    wave = np.arange(380, 781, 5.0)

    def lobe(middle: float, left: float, right: float) -> Floats:
        return np.exp(-0.5 * ((wave - middle) / np.where(wave < middle, left, right)) ** 2)

    match = np.stack(
        [
            1.056 * lobe(599.8, 37.9, 31.0)
            + 0.362 * lobe(442.0, 16.0, 26.7)
            - 0.065 * lobe(501.1, 20.4, 26.2),
            0.821 * lobe(568.8, 46.9, 40.5) + 0.286 * lobe(530.9, 16.3, 31.1),
            1.217 * lobe(437.0, 11.8, 36.0) + 0.681 * lobe(459.0, 26.0, 13.8),
        ]
    )
    power = wave**-5 / (np.exp(1.4388e7 / (wave * kelvin[:, None])) - 1)
    planck = power @ match.T
    t = 1e3 / kelvin
    x = np.where(
        kelvin < 7000,
        0.244063 + t * (0.09911 + t * (2.9678 - 4.6070 * t)),
        0.237040 + t * (0.24748 + t * (1.9018 - 2.0064 * t)),
    )
    y = -3 * x * x + 2.87 * x - 0.275
    day = np.stack([x, y, 1 - x - y], 1)
    mix = np.clip((np.arange(601) - 200) / 50, 0, 1)[:, None]
    xyz = (1 - mix) * day / day[:, 1:2] + mix * planck / planck[:, 1:2]
    to_rgb = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    )
    return np.asarray(np.maximum(xyz @ to_rgb.T, 0.02))


def light_color(mired: float, white: float) -> Floats:
    """Linear colour (3,), luminance 1, of light of ``mired`` for a camera balanced to ``white``."""
    table = _locus()
    color = table[round(np.clip(mired, 40, 600))] / table[round(np.clip(white, 40, 600))]
    return np.asarray(color / (color @ LUMINANCE))


def extract_lights(
    environment: NDArray[np.float32], count: int = 3
) -> tuple[NDArray[np.float32], list[Light]]:
    """Take up to ``count`` bright patches out of a map; (what is left, the lights).

    The sum over the map of radiance times solid angle is that of what is left plus pi times the
    lights' colours.
    """
    _, rays, solid, _ = _grid()
    left = environment.astype(np.float64)
    lights = []
    for _ in range(count):
        value = left @ LUMINANCE
        mean = float((value * solid).sum() / (4 * np.pi))
        peak = np.unravel_index(int(value.argmax()), value.shape)
        if value[peak] < 3 * mean:
            break
        near = _smooth((rays @ rays[peak] - np.cos(0.75)) / (np.cos(0.45) - np.cos(0.75)))
        taken = (near * np.maximum(0, 1 - 1.2 * mean / np.maximum(value, 1e-9)))[..., None] * left
        left -= taken
        energy = taken * solid[..., None]
        weight = energy @ LUMINANCE
        total = float(weight.sum())
        where = (weight[..., None] * rays).sum((0, 1))
        spread = total**2 / float((weight**2 / solid).sum())  # solid angle of an even patch
        lights.append(
            Light(
                direction=where / np.linalg.norm(where),
                color=(energy.sum((0, 1)) / np.pi).astype(np.float32),
                size_rad=float(np.clip(np.sqrt(spread / np.pi), 0.02, 0.6)),
            )
        )
    return left.astype(np.float32), lights


def sample_lighting(
    rng: np.random.Generator, kind: str, on: Mapping[str, bool], panorama: Panorama | None = None
) -> Lighting:
    """Light of one of :data:`KINDS` that has the switched ``on`` properties and not the others.

    A ``panorama`` takes the place of the painted surroundings; near infrared is always painted.

    A grey card of albedo 0.35 that stands for the face has a mean radiance of 0.25 to 0.35, or less
    against the light.  ``rng`` is used alike whatever is on.
    """
    seeds = rng.integers(2**63, size=4)
    place, paint, color, level = (np.random.default_rng(int(s)) for s in seeds)
    infrared = bool(on.get("near_infrared", False)) or kind == "infrared"
    kind = "infrared" if infrared else kind
    fine = _grid()[0]
    azimuth, turn = _orientation(place, on, infrared)
    tints = _tints(color, kind, on)
    real = None
    if panorama is None or infrared:
        world = PAINTERS[kind](paint, fine @ turn, tints)
    else:
        real = turned(paint, panorama, turn, tints.key)
        world = Surroundings(real.radiance(fine).astype(np.float64))
    world.points = [(turn @ d, c, s) for d, c, s in world.points]
    _direct(level, world, fine, azimuth, on)
    environment = cv2.resize(
        world.radiance.astype(np.float32), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA
    )
    known = [Light(d, c.astype(np.float32), s) for d, c, s in world.points]
    environment, found = extract_lights(np.asarray(environment, np.float32), 3)
    lights = sorted(known + found, key=lambda light: -float(light.color @ LUMINANCE))
    for rest in lights[3:]:  # a weak fourth light goes back among the surroundings
        environment += (rest.color * (np.pi / (4 * np.pi))).astype(np.float32)
    return _balanced(level, kind, environment, lights[:3], on, infrared, real)


def _orientation(
    rng: np.random.Generator, on: Mapping[str, bool], infrared: bool
) -> tuple[float, Floats]:
    """Azimuth of the main light (0 before the face, + to +x); (3, 3) camera from surroundings."""
    front = float(np.clip(rng.normal(0, 0.45), -0.75, 0.75))
    sign = float(rng.choice([-1, 1]))
    side, back = sign * rng.uniform(1.2, 1.65), sign * rng.uniform(2.4, np.pi)
    both = sign * rng.uniform(1.9, 2.4)
    tilt, roll = rng.normal(0, 0.08), rng.normal(0, 0.04)
    azimuth = front
    if on.get("hard_shadows", False):  # a key beside the camera throws no shadow that is seen
        azimuth = sign * (0.3 + 0.6 * abs(front))
    if on.get("side_light", False):
        azimuth = both if on.get("back_light", False) else side
    elif on.get("back_light", False):
        azimuth = back
    if infrared:  # its illuminator stays beside the camera
        azimuth = (
            0.15 * azimuth if abs(azimuth) < 1 else 0.6 * sign if abs(azimuth) < 2 else azimuth
        )
    c, s = np.cos(azimuth), np.sin(azimuth)
    yaw = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    lean = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    bank = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return float(azimuth), np.asarray(bank @ lean @ yaw)


def _tints(rng: np.random.Generator, kind: str, on: Mapping[str, bool]) -> Tints:
    """Colours of main and other lights; the camera's white is near the main one, but for a cast."""
    (low, high), (low2, high2) = _MIRED[kind]
    key, fill = rng.uniform(low, high), rng.uniform(low2, high2)
    error, adapt = rng.normal(0, 12), rng.uniform(0.25, 0.75)
    warm, cool = rng.uniform(65, 135), rng.uniform(45, 85)
    if kind == "infrared":
        return Tints(np.ones(3), np.ones(3))
    if on.get("warm_light", False) and on.get("cool_light", False):  # warm key, cool rest
        return Tints(light_color(200 + 0.7 * warm, 200), light_color(200 - cool, 200))
    shift = -cool if on.get("cool_light", False) else error
    shift = warm if on.get("warm_light", False) else shift
    white = float(np.clip(key - shift, 120 if shift < 0 else 60, 420))
    fill = key + adapt * (fill - key)  # mixed light is rarely as mixed as its sources
    return Tints(light_color(white + shift, white), light_color(white + shift + fill - key, white))


def _direct(
    rng: np.random.Generator,
    world: Surroundings,
    rays: Floats,
    azimuth: float,
    on: Mapping[str, bool],
) -> None:
    """Darken all that would light the wrong side; light up what is behind the head."""
    dim_side, dim_back = rng.uniform(0.04, 0.14), rng.uniform(0.25, 0.5)
    glow, size = rng.uniform(1.0, 2.2), rng.uniform(0.5, 0.9)
    parts = [d for d, _, _ in world.points]

    def gain(d: Floats) -> Floats:
        g = np.ones(d.shape[:-1])
        if on.get("side_light", False):
            t = np.clip((d[..., 0] * np.sign(azimuth) + 0.15) / 0.7, 0, 1)
            g = g * (dim_side + (1 - dim_side) * t * t * (3 - 2 * t))
        if on.get("back_light", False):
            t = np.clip((d[..., 2] + 0.3) / 0.8, 0, 1)
            g = g * (dim_back + (1 - dim_back) * t)
        return np.asarray(g)

    world.radiance = world.radiance * gain(rays)[..., None]
    points = [(d, c * gain(p), s) for (d, c, s), p in zip(world.points, parts, strict=True)]
    world.points = points
    if on.get("back_light", False):
        level = float((world.radiance @ LUMINANCE).mean())
        color = world.radiance.mean((0, 1)) / max(level, 1e-9)
        near = _smooth((rays[..., 2] - 1 + size) / size)
        world.radiance += (glow * 1.6 * level * near)[..., None] * color


def _capped(light: Light) -> Light:
    """No light from behind is stronger than what burns a rim of hair and skin to white."""
    value = float(light.color @ LUMINANCE)
    if light.direction[2] < 0.2 or value < 3:
        return light
    return replace(light, color=light.color * np.float32(3 / value))


def _smooth(t: Floats) -> Floats:
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _balanced(
    rng: np.random.Generator,
    kind: str,
    environment: NDArray[np.float32],
    lights: list[Light],
    on: Mapping[str, bool],
    infrared: bool,
    real: Turned | None,
) -> Lighting:
    """Set the share of the fill, the hardness of shadows and the exposure.

    A panorama keeps the share of the fill that it has, but for factors that need another one.
    """
    low, high = _FILL[kind]
    share, little, sided = rng.uniform(low, high), rng.uniform(0.07, 0.18), rng.uniform(0.08, 0.2)
    hard, soft = rng.uniform(0.005, 0.03), rng.uniform(0.09, 0.25)
    card, dark = rng.uniform(0.26, 0.34), rng.uniform(0.4, 0.6)
    if on.get("hard_shadows", False):
        share = min(share, little)
        others = [replace(light, color=light.color * np.float32(0.3)) for light in lights[1:]]
        lights = [replace(light, size_rad=float(hard)) for light in lights[:1]] + others
    else:
        lights = [replace(light, size_rad=max(light.size_rad, float(soft))) for light in lights]
    if on.get("side_light", False):
        share = min(share, sided)
    mean = float((environment * _grid()[2][..., None]).sum((0, 1)) @ LUMINANCE) / (4 * np.pi)
    direct = float(sum(light.color @ LUMINANCE for light in lights))
    kept = real and not (on.get("hard_shadows", False) or on.get("side_light", False))
    if direct > 0.05 * mean and not kept:
        environment = environment * np.float32(share / (1 - share) * direct / mean)
    black = Light(np.array([0, -0.6, -0.8]), np.zeros(3, np.float32), 0.1)
    lights = (lights + [black] * 3)[:3]
    draft = Lighting(
        kind,
        environment,
        irradiance_harmonics(environment),
        (lights[0], lights[1], lights[2]),
        infrared,
        real,
    )
    face = np.array(
        [[0, 0, -1], [0.6, 0, -0.8], [-0.6, 0, -0.8], [0, 0.5, -0.866], [0, -0.5, -0.866]]
    )
    seen = float((shade(draft, face) @ LUMINANCE).mean())
    gain = np.float32(card / 0.35 / max(seen, 1e-6) * (dark if on.get("back_light", False) else 1))
    first, second, third = (_capped(replace(light, color=light.color * gain)) for light in lights)
    return replace(
        draft,
        environment=draft.environment * gain,
        irradiance=draft.irradiance * gain,
        lights=(first, second, third),
    )
