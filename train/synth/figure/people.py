"""Who is rendered: identity, what follows from it, colours, hair and painted skin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.synth.chances import sample_person_factors
from train.synth.figure.eye_looks import EyeLook, eye_look, iris_colors, sclera_color
from train.synth.figure.facekit import (
    HEAD_FROM_FACEKIT,
    IDENTITY_MODES,
    PARTS,
    SCLERA_VERTICES,
    FaceKit,
)
from train.synth.figure.hair import Strands, facial_hair, hair_color, scalp_cover, scalp_hair
from train.synth.figure.lids import Lids, sample_lids
from train.synth.figure.skin import Skin, SkinPainter
from train.synth.streams import Streams
from train.synth.variety import Domain

Floats = NDArray[np.float32]

IDENTITY_SPREAD = 0.85
"""Standard deviation of each identity mode; 1 gives a few grotesque faces in a hundred."""

EYE_CENTER_CM = np.array([3.1078, 3.6044, 8.30])
"""Where a life-size left eye turns: 13.5 mm behind the corneal apex (FaceKit's frame)."""
EYE_MESH_CENTER_CM = np.array([3.1078, 3.6044, 7.8958])
"""Centre of the left eyeball's mesh; its radius is 1.54 cm (a fit to the sclera)."""


@dataclass(slots=True)
class Person:
    """Everything that stays the same between two pictures of one rendered person."""

    identity: Floats
    """(100,) identity coefficients in standard deviations."""
    shape: dict[str, float]
    """Standardised measures of the face's shape, by the factor that is read from each."""
    factors: dict[str, bool]
    """The factors that belong to the person (identity and person scope)."""
    raw: Floats
    """(26719, 3) neutral expression in FaceKit's frame, centimetres."""
    origin_cm: Floats
    """(3,) the face centre in FaceKit's frame."""
    calm: Floats
    """(26719, 3) neutral expression in the head frame, millimetres."""
    eye_centers: Floats
    """(2, 3) rotation centres, head frame, the person's right first."""
    eye_meshes: Floats
    """(2, 3) centres of the balls that are drawn."""
    iris_colors: Floats
    """(2, 3) linear."""
    iris_radius_mm: float
    sclera_color: Floats
    eyes: EyeLook
    """All else about how they look."""
    kappa_rad: tuple[float, float]
    """Angle of the visual axis from the optical axis: (nasal, up), radians."""
    lids: Lids
    hair_color: Floats
    hair_gloss: float
    """0 dull to 1 sleek."""
    hair: Strands | None
    beard: Strands | None
    scalp: Floats
    """(26719,) how much of the scalp's colour is hair."""
    skin: Skin


def to_head(origin_cm: Floats, raw: Floats) -> Floats:
    """Points in FaceKit's frame (cm) as points in the head frame (mm) about the origin."""
    return np.asarray((raw - origin_cm) @ HEAD_FROM_FACEKIT, dtype=np.float32)


def face_center(marks: NDArray[np.floating]) -> NDArray[np.floating]:
    """Face centre of (68, 3) landmarks: mean of the eye corners' and the nose corners' means."""
    return np.asarray((marks[[36, 39, 42, 45]].mean(0) + marks[[31, 35]].mean(0)) / 2)


def sample_identity(streams: Streams) -> Floats:
    """(100,) identity coefficients."""
    return streams("identity").normal(0.0, IDENTITY_SPREAD, IDENTITY_MODES).astype(np.float32)


class People:
    """Makes people of one face model; bakes what they share once."""

    def __init__(self, kit: FaceKit) -> None:
        self.kit = kit
        self._scores = ShapeScores(kit)
        self._painter = SkinPainter(kit)

    def sample(self, streams: Streams, domain: Domain) -> Person:
        """Draw a person: shape, what follows from it, hair and skin."""
        shape = self._scores.measure(sample_identity(streams))
        on = sample_person_factors(streams, shape, domain)
        # Without appearance everybody has the same skin, hair and eyes; shapes still differ.
        looks = Streams(0) if "appearance" in domain.absent else streams
        return self.make(streams, on, looks=looks)

    def make(
        self, streams: Streams, on: Mapping[str, bool], *, looks: Streams | None = None
    ) -> Person:
        """The person of ``streams`` with these factors, whatever the chances are.

        ``looks`` draws skin, hair and eyes (default: ``streams``, which draws the shape).
        """
        kit, identity = self.kit, sample_identity(streams)
        looks = looks or streams
        raw = kit.blend(identity, {})
        origin = np.asarray(face_center(raw[kit.landmarks]), dtype=np.float32)
        calm = to_head(origin, raw)
        eyes, balls = [], []
        for side, sign in (("right", -1.0), ("left", 1.0)):
            start = PARTS[f"eyeball_{side}"][0]
            part = slice(start, start + SCLERA_VERTICES)
            shift = raw[part].mean(0) - kit.neutral[part].mean(0)
            flip = np.array([sign, 1, 1])
            eyes.append(to_head(origin, EYE_CENTER_CM * flip + shift))
            balls.append(to_head(origin, EYE_MESH_CENTER_CM * flip + shift))
        rng = looks("eyes")
        hair = hair_color(looks, on)
        return Person(
            identity=identity,
            shape=self._scores.measure(identity),
            factors=dict(on),
            raw=raw,
            origin_cm=origin,
            calm=calm,
            eye_centers=np.array(eyes, np.float32),
            eye_meshes=np.array(balls, np.float32),
            iris_colors=iris_colors(rng, on),
            iris_radius_mm=float(np.clip(rng.normal(5.9, 0.22), 5.3, 6.6)),
            sclera_color=sclera_color(rng, looks("sclera")),
            eyes=eye_look(looks, on, hair),
            # The visual axis is some 5 degrees nasal of the optical axis (Atchison, Smith 2000).
            kappa_rad=(
                float(np.radians(rng.normal(4.5, 1.5))),
                float(np.radians(rng.normal(1.5, 1.2))),
            ),
            lids=sample_lids(streams("lid habits")),
            hair_color=hair,
            hair_gloss=float(looks("hair gloss").uniform(0.15, 1.0)),
            hair=scalp_hair(looks, kit, calm, on),
            beard=facial_hair(looks, kit, calm, on),
            scalp=scalp_cover(looks, kit, calm, on),
            skin=self._painter.paint(looks, on, hair_color=hair),
        )


class ShapeScores:
    """Measures on a neutral face that make identity mean something.

    Each measure is a function of the 68 landmarks of the neutral face, so of the identity
    coefficients alone, standardised (mean 0, sd 1) over random identities.  Feminine and old are
    sums of such measures with the signs that anthropometry finds: women's faces have narrower
    jaws, smaller noses, fuller lips, larger eyes and higher brows (Farkas 1994); with age noses
    and lower faces grow longer, lips thinner and eyes smaller (Sforza et al. 2010).
    """

    def __init__(self, kit: FaceKit) -> None:
        marks = kit.landmarks
        self._mean = kit.neutral[marks]
        self._modes = kit.identity[:, marks]
        sample = np.random.default_rng(68).normal(0, IDENTITY_SPREAD, (2000, IDENTITY_MODES))
        faces = self._mean + np.tensordot(sample, self._modes, axes=1)
        plain = {name: measure(faces) for name, measure in MEASURES.items()}
        self._center = {name: (v.mean(), v.std()) for name, v in plain.items()}
        z = {name: (v - v.mean()) / v.std() for name, v in plain.items()}
        self._scale = {n: float(_combine(z, w).std()) for n, w in COMBINED.items()}

    def measure(self, identity: Floats) -> dict[str, float]:
        """Standardised scores by factor name (:data:`SHAPE_FACTORS`)."""
        marks = (self._mean + np.tensordot(identity, self._modes, axes=1))[None]
        z = {
            name: (measure(marks) - self._center[name][0]) / self._center[name][1]
            for name, measure in MEASURES.items()
        }
        scores = {name: z[name] for name in SHAPE_FACTORS if name in z}
        scores |= {n: _combine(z, w) / self._scale[n] for n, w in COMBINED.items()}
        return {name: float(value[0]) for name, value in scores.items()}


def _distance(a: int, b: int) -> Callable[[NDArray[np.floating]], NDArray[np.floating]]:
    return lambda m: np.linalg.norm(m[:, a] - m[:, b], axis=1)


def _mean_distance(*pairs: tuple[int, int]) -> Callable[..., NDArray[np.floating]]:
    return lambda m: np.mean([np.linalg.norm(m[:, a] - m[:, b], axis=1) for a, b in pairs], axis=0)


MEASURES: dict[str, Callable[[NDArray[np.floating]], NDArray[np.floating]]] = {
    "round_face": lambda m: _distance(1, 15)(m) / _distance(27, 8)(m),
    "wide_jaw": lambda m: _distance(5, 11)(m) / _distance(1, 15)(m),
    "large_nose": lambda m: _distance(31, 35)(m) + _distance(27, 33)(m),
    "full_lips": _mean_distance((50, 61), (51, 62), (52, 63), (56, 65), (57, 66), (58, 67)),
    "large_eyes": _mean_distance((37, 41), (38, 40), (43, 47), (44, 46), (36, 39), (42, 45)),
    "brow_height": _mean_distance((19, 37), (24, 44)),
    "face_size": lambda m: _distance(1, 15)(m) + _distance(27, 8)(m),
    "lower_face": lambda m: _distance(33, 8)(m) / _distance(27, 8)(m),
}
SHAPE_FACTORS = (
    "feminine",
    "old",
    "round_face",
    "wide_jaw",
    "large_nose",
    "full_lips",
    "large_eyes",
)
COMBINED: dict[str, dict[str, float]] = {
    "feminine": {
        "wide_jaw": -0.8,
        "large_nose": -0.9,
        "full_lips": 0.5,
        "large_eyes": 0.5,
        "brow_height": 0.6,
        "face_size": -1.0,
    },
    "old": {"large_nose": 0.8, "lower_face": 0.7, "full_lips": -0.9, "large_eyes": -0.8},
}


def _combine(
    z: Mapping[str, NDArray[np.floating]], weights: Mapping[str, float]
) -> NDArray[np.floating]:
    return np.asarray(sum(w * z[name] for name, w in weights.items()))
