"""The one table of gaze-irrelevant factors: name, phrases, frequency and what draws each.

CLIP-Gaze (arXiv 2403.05124) describes what is *not* gaze by the prompt ``An image of a face with
{c}.`` over three dimensions: appearance, wearable, image quality.  The literal list, the negative
phrases and the frequencies are this project's own choice.  The renderer obeys the same names, so a
rendered picture's labels, captions and prompts cannot disagree.

Two rules for whoever reads labels.  A negative phrase supposes what the factor needs ("thin-rimmed
glasses" supposes glasses), and a factor may be hidden (the mouth behind a mask): ask
:func:`is_shown` before a picture is held against a prompt.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Dimension = Literal["appearance", "wearable", "image quality"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
Scope = Literal["identity", "person", "picture"]

PROMPT = "An image of a face with {}."


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that a picture shows and that says nothing of where its person looks."""

    name: str
    dimension: Dimension
    scope: Scope
    """identity: measured on the face's shape; person: drawn once per person; picture: each time."""
    positive: str
    """Fits :data:`PROMPT`; true where the factor is on."""
    negative: str
    """Fits :data:`PROMPT`; true where the factor is off and shown (:func:`is_shown`)."""
    chance: float
    """Share of pictures (or people) with it, among those where what it needs is on."""
    drawn_by: str
    """What of ``train.synth`` obeys it: ``room.module.function``, or a method of a class there."""
    excludes: tuple[str, ...] = ()
    """Never on together with these; symmetric."""
    needs: tuple[str, ...] = ()
    """Only on where all these are on."""
    hidden_by: tuple[str, ...] = ()
    """With one of these on, nobody can see whether this is on."""
    doubtful_with: tuple[str, ...] = ()
    """With one of these on, the negative phrase may be untrue although this is off."""


_SHAPE = "figure.people.ShapeScores.measure"
_SKIN = "figure.skin.SkinPainter.paint"
_COLOR = "figure.hair.hair_color"
_SCALP = "figure.hair.scalp_hair"
_FACIAL = "figure.hair.facial_hair"
_FACE = "render.scene.sample_expression"
_EYEWEAR = "worn.glasses.glasses"
_HEADWEAR = "worn.wearables.headwear"
_OCCLUDER = "worn.occluders.occluders"
_LIGHT = "places.lighting.sample_lighting"
_SENSOR = "render.sensor.sample_sensor"

_Row = tuple[str, float, str, str, str]

_TABLE: tuple[tuple[Dimension, Scope, tuple[_Row, ...]], ...] = (
    (
        "appearance",
        "identity",  # the chance follows from the threshold in sample_person_factors
        (
            ("feminine", 0.50, _SHAPE, "feminine features", "masculine features"),
            ("old", 0.28, _SHAPE, "elderly features", "youthful features"),
            ("round_face", 0.50, _SHAPE, "a round face shape", "a long face shape"),
            ("wide_jaw", 0.50, _SHAPE, "a wide jaw", "a narrow jaw"),
            ("large_nose", 0.50, _SHAPE, "a large nose", "a small nose"),
            ("full_lips", 0.50, _SHAPE, "full lips", "thin lips"),
            ("large_eyes", 0.50, _SHAPE, "large eyes", "small eyes"),
        ),
    ),
    (
        "appearance",
        "person",
        (
            ("dark_skin", 0.40, _SKIN, "dark skin", "light or medium skin"),
            ("freckles", 0.16, _SKIN, "freckles", "unfreckled skin"),
            ("wrinkles", 0.32, _SKIN, "wrinkled skin", "smooth skin"),
            ("red_cheeks", 0.25, _SKIN, "red cheeks", "unflushed cheeks"),
            ("shiny_skin", 0.28, _SKIN, "shiny skin", "matt skin"),
            ("dark_circles", 0.26, _SKIN, "dark rings under the eyes", "no rings under the eyes"),
            ("thick_eyebrows", 0.42, _SKIN, "thick eyebrows", "thin eyebrows"),
            ("black_hair", 0.30, _COLOR, "black hair", "hair that is not black"),
            ("blond_hair", 0.16, _COLOR, "blond hair", "hair that is not blond"),
            ("red_hair", 0.08, _COLOR, "red hair", "hair that is not red"),
            ("grey_hair", 0.18, _COLOR, "grey hair", "hair that has not gone grey"),
            ("long_hair", 0.42, _SCALP, "long hair", "hair cut above the shoulders"),
            ("bald", 0.11, _SCALP, "a bald head", "a head of hair"),
            ("fringe", 0.25, _SCALP, "a fringe over the forehead", "a bare forehead"),
            ("curly_hair", 0.26, _SCALP, "curly hair", "hair without curls"),
            ("beard", 0.20, _FACIAL, "a full beard", "a clean-shaven chin"),
            ("moustache", 0.17, _FACIAL, "a moustache", "a bare upper lip"),
            ("stubble", 0.16, _FACIAL, "stubble", "freshly shaven cheeks"),
            ("light_eyes", 0.32, "figure.people.People.make", "light-coloured eyes", "brown eyes"),
        ),
    ),
    (
        "appearance",
        "picture",
        (
            ("smile", 0.36, _FACE, "a smile", "an unsmiling mouth"),
            ("open_mouth", 0.26, _FACE, "a wide-open mouth", "a nearly closed mouth"),
            ("squint", 0.16, _FACE, "narrowed eyelids", "relaxed eyelids"),
            ("frown", 0.13, _FACE, "a frown", "brows not drawn together"),
            ("raised_eyebrows", 0.17, _FACE, "raised eyebrows", "eyebrows at rest"),
        ),
    ),
    (
        "wearable",
        "person",
        (
            ("lipstick", 0.24, _SKIN, "lipstick", "unpainted lips"),
            ("eye_shadow", 0.20, _SKIN, "eye shadow", "bare eyelids"),
        ),
    ),
    (
        "wearable",
        "picture",
        (
            ("glasses", 0.34, _EYEWEAR, "glasses", "no glasses"),
            ("thick_frame", 0.42, _EYEWEAR, "thick-rimmed glasses", "thin-rimmed glasses"),
            ("sunglasses", 0.09, _EYEWEAR, "sunglasses", "no sunglasses"),
            ("tinted_lenses", 0.22, _EYEWEAR, "tinted lenses", "clear lenses"),
            ("lens_reflections", 0.40, _EYEWEAR, "glare on the lenses", "lenses free of glare"),
            ("cap", 0.10, _HEADWEAR, "a baseball cap", "a head without a cap"),
            ("brimmed_hat", 0.06, _HEADWEAR, "a brimmed hat", "no brim over the brow"),
            ("beanie", 0.06, _HEADWEAR, "a knitted beanie", "no woollen hat"),
            ("helmet", 0.055, _HEADWEAR, "a helmet", "an unprotected head"),
            ("head_scarf", 0.055, _HEADWEAR, "a headscarf", "an uncovered head"),
            ("face_mask", 0.075, "worn.wearables.mask", "a face mask", "no mask"),
            ("hand_on_face", 0.08, _OCCLUDER, "a hand on the face", "hands off the face"),
            ("object_in_front", 0.07, _OCCLUDER, "an object before the face", "nothing held up"),
        ),
    ),
    (
        "image quality",
        "picture",
        (
            ("noise", 0.26, _SENSOR, "sensor noise", "hardly any grain"),
            ("motion_blur", 0.15, _SENSOR, "motion blur", "no smear of movement"),
            ("defocus", 0.17, _SENSOR, "an out-of-focus blur", "a sharp focus"),
            ("low_resolution", 0.18, _SENSOR, "coarse blurry pixels", "fine detail"),
            ("jpeg_artifacts", 0.22, _SENSOR, "blocky compression", "no compression blocks"),
            ("dark", 0.17, _SENSOR, "too little light", "enough light"),
            ("overexposed", 0.11, _SENSOR, "blown-out highlights", "intact highlights"),
            ("low_contrast", 0.15, _SENSOR, "a washed-out contrast", "a strong contrast"),
            ("side_light", 0.24, _LIGHT, "light from one side", "evenly lit cheeks"),
            ("back_light", 0.13, _LIGHT, "light from behind", "light on the front"),
            ("hard_shadows", 0.22, _LIGHT, "hard shadows", "soft shadows"),
            ("warm_light", 0.17, _LIGHT, "warm light", "no yellow cast"),
            ("cool_light", 0.15, _LIGHT, "cool light", "no blue cast"),
            (
                "near_infrared",
                0.08,
                _LIGHT,
                "near-infrared light in grey",
                "visible light in colour",
            ),
        ),
    ),
)
"""Rows: name, chance, drawn by, positive phrase, negative phrase."""

HEADWEAR = ("cap", "brimmed_hat", "beanie", "helmet", "head_scarf")
HAIR_COLORS = ("black_hair", "blond_hair", "red_hair", "grey_hair")
_OVER_HAIR = ("bald", "beanie", "helmet", "head_scarf")
_OVER_MOUTH = ("face_mask", "hand_on_face", "object_in_front")
_SOFT = ("motion_blur", "defocus", "low_resolution")

_EXCLUSIVE: tuple[tuple[str, ...], ...] = (
    HAIR_COLORS,
    ("bald", "long_hair"),
    ("bald", "fringe"),
    ("bald", "curly_hair"),
    ("beard", "stubble"),
    ("smile", "frown"),
    ("frown", "raised_eyebrows"),
    ("glasses", "sunglasses"),
    HEADWEAR,
    ("dark", "overexposed"),
    ("side_light", "back_light"),
    ("warm_light", "cool_light", "near_infrared"),
)
_NEEDS = dict.fromkeys(("thick_frame", "tinted_lenses", "lens_reflections"), ("glasses",))

_HIDDEN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("round_face", "wide_jaw"), ("head_scarf", "helmet", "beard", *_OVER_MOUTH)),
    **dict.fromkeys(("large_nose", "full_lips", "smile", "open_mouth"), _OVER_MOUTH),
    **dict.fromkeys(("beard", "moustache", "stubble"), _OVER_MOUTH),
    **dict.fromkeys(("freckles", "red_cheeks"), ("face_mask", "near_infrared")),
    **dict.fromkeys(("dark_circles", "eye_shadow"), ("sunglasses", "near_infrared")),
    **dict.fromkeys(("thick_eyebrows", "squint", "frown", "raised_eyebrows"), ("sunglasses",)),
    **dict.fromkeys(HAIR_COLORS, (*_OVER_HAIR, "near_infrared")),
    **dict.fromkeys(("dark_skin", "tinted_lenses"), ("near_infrared",)),
    "large_eyes": ("sunglasses",),
    "long_hair": ("helmet", "head_scarf"),
    "bald": HEADWEAR,
    "fringe": HEADWEAR,
    "curly_hair": ("beanie", "helmet", "head_scarf"),
    "light_eyes": ("sunglasses", "tinted_lenses", "lens_reflections", "near_infrared"),
    "lipstick": (*_OVER_MOUTH, "near_infrared"),
}

_DOUBTFUL: dict[str, tuple[str, ...]] = {
    "large_eyes": ("squint", "smile"),  # eyes are closed by a part, whatever their size
    **dict.fromkeys(("long_hair", "fringe", "curly_hair"), ("bald",)),
    "beard": ("stubble",),
    "moustache": ("stubble",),
    "stubble": ("beard", "moustache"),
    "squint": ("smile",),  # which narrows the eyes more or less
    "raised_eyebrows": ("frown",),
    "glasses": ("sunglasses",),
    "sunglasses": ("tinted_lenses",),
    **{name: tuple(h for h in HEADWEAR if h != name) for name in HEADWEAR},
    "hand_on_face": ("object_in_front",),
    "object_in_front": ("hand_on_face", "face_mask"),
    **{name: tuple(b for b in _SOFT if b != name) for name in _SOFT},
    "dark": ("back_light",),
    "overexposed": ("dark", "back_light"),
    "low_contrast": ("dark", "overexposed", "back_light"),
    "side_light": ("back_light", "hard_shadows"),
    "back_light": ("side_light",),
    **dict.fromkeys(("warm_light", "cool_light"), ("near_infrared",)),
}


def _others(name: str) -> tuple[str, ...]:
    return tuple(n for group in _EXCLUSIVE if name in group for n in group if n != name)


FACTORS: tuple[Factor, ...] = tuple(
    Factor(
        name=name,
        dimension=dimension,
        scope=scope,
        positive=positive,
        negative=negative,
        chance=chance,
        drawn_by=drawn_by,
        excludes=_others(name),
        needs=_NEEDS.get(name, ()),
        hidden_by=_HIDDEN.get(name, ()),
        doubtful_with=_DOUBTFUL.get(name, ()),
    )
    for dimension, scope, rows in _TABLE
    for name, chance, drawn_by, positive, negative in rows
)

_BY_NAME = {f.name: f for f in FACTORS}


def factor(name: str) -> Factor:
    """The factor of this name; raises :class:`KeyError` with the nearest names."""
    if name not in _BY_NAME:
        near = difflib.get_close_matches(name, _BY_NAME, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(_BY_NAME)}"
        raise KeyError(f"no factor {name!r}; {hint}")
    return _BY_NAME[name]


def is_shown(on: Mapping[str, bool], name: str) -> bool:
    """Whether the phrase that belongs to ``on[name]`` can be said of this picture.

    False where a mask, glasses or a hat hides the factor, where another factor makes its negative
    doubtful, and where what it needs is off, so that its negative would suppose what is not there.
    """
    this = factor(name)
    if any(on[n] for n in this.hidden_by) or not all(on[n] for n in this.needs):
        return False
    return on[name] or not any(on[n] for n in this.doubtful_with)


def with_factor(on: Mapping[str, bool], name: str, value: bool) -> dict[str, bool]:
    """A copy with one factor switched, and all that this forces.

    Switching on clears what the factor excludes and switches on what it needs; switching off
    clears what needs it.  An identity factor's label is switched too, but only another shape
    changes the face.
    """
    changed = dict(on)
    _switch(changed, name, value)
    return changed


def _switch(on: dict[str, bool], name: str, value: bool) -> None:
    this = factor(name)
    on[name] = value
    if value:
        for other in this.excludes:
            _switch(on, other, False)
        for need in this.needs:
            _switch(on, need, True)
    else:
        for dependent in FACTORS:
            if name in dependent.needs and on.get(dependent.name):
                _switch(on, dependent.name, False)
