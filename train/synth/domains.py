"""Named presets of rendered people that differ as data sets differ.

Domain generalisation is studied by training on one preset and testing on another, and by leaving
parts of the variety out (:mod:`train.synth.without`).  The presets are *like* the public data
sets that their descriptions name, from what the data sets' papers say of their cameras and places;
they copy no statistic of them.

Angles follow the conventions: yaw positive towards the image's left, pitch positive upwards, both
of the direction of face or gaze as seen by the camera.
"""

from __future__ import annotations

import difflib
from dataclasses import replace

from train.factors import HEADWEAR
from train.synth.variety import BACKGROUNDS, LIGHTS, Domain

_BARE_HEAD = dict.fromkeys(HEADWEAR, 0.0)

DOMAINS: tuple[Domain, ...] = (
    Domain(
        name="mix",
        describes="everything on: every light, place, camera and factor at its own chance",
        chances={},
        lights=dict.fromkeys(LIGHTS, 1.0) | {"window": 1.5, "office": 1.5},
        backgrounds=dict.fromkeys(BACKGROUNDS, 1.0) | {"car_interior": 0.6, "plain": 0.7},
        distance_mm=(300, 3000),
        horizontal_fov_deg=(22, 95),
        frame_px=((640, 480), (1280, 720), (1920, 1080), (1080, 1920)),
        face_px=(50, 480),
        head_yaw_deg=(0, 28, 75),
        head_pitch_deg=(0, 15, 45),
        head_roll_deg=(0, 9, 30),
        gaze="free",
        gaze_yaw_deg=(0, 17),
        gaze_pitch_deg=(-3, 13),
        iso=(80, 6400),
        against=0.08,
        people={1: 0.8, 2: 0.15, 3: 0.05},
    ),
    Domain(
        name="lab",
        describes="ETH-XGaze-like: studio light from many sides, plain background, DSLR cameras "
        "all around, wide head poses and gaze, sharp pictures",
        chances=(
            _BARE_HEAD
            | {"glasses": 0.2, "sunglasses": 0.0, "face_mask": 0.0, "tinted_lenses": 0.02}
            | {"hand_on_face": 0.0, "object_in_front": 0.0}
            | {"smile": 0.08, "open_mouth": 0.06, "frown": 0.05, "raised_eyebrows": 0.1}
            | {"noise": 0.03, "motion_blur": 0.02, "defocus": 0.08, "low_resolution": 0.0}
            | {"jpeg_artifacts": 0.02, "dark": 0.15, "overexposed": 0.04, "low_contrast": 0.03}
            | {"side_light": 0.35, "back_light": 0.06, "hard_shadows": 0.25}
            | {"warm_light": 0.03, "cool_light": 0.03, "near_infrared": 0.0}
        ),
        lights={"studio": 1.0},
        backgrounds={"plain": 1.0},
        distance_mm=(900, 1500),
        horizontal_fov_deg=(20, 30),
        frame_px=((2000, 1334), (1500, 1000)),
        face_px=(240, 480),
        head_yaw_deg=(0, 38, 75),
        head_pitch_deg=(0, 24, 45),
        head_roll_deg=(0, 5, 20),
        gaze="free",
        gaze_yaw_deg=(0, 20),
        gaze_pitch_deg=(0, 15),
        iso=(100, 3200),
        against=0.05,
    ),
    Domain(
        name="laptop",
        describes="MPIIFaceGaze-like: the webcam above a laptop's screen in rooms and offices, "
        "people look at the screen, small range of poses, everyday light",
        chances=(
            _BARE_HEAD
            | {"glasses": 0.38, "lens_reflections": 0.55, "sunglasses": 0.0, "face_mask": 0.0}
            | {"hand_on_face": 0.10, "object_in_front": 0.02, "smile": 0.12, "open_mouth": 0.1}
            | {"noise": 0.35, "motion_blur": 0.06, "defocus": 0.08, "low_resolution": 0.12}
            | {"jpeg_artifacts": 0.3, "dark": 0.2, "side_light": 0.35, "back_light": 0.12}
            | {"warm_light": 0.3, "cool_light": 0.15, "near_infrared": 0.0}
        ),
        lights={"office": 3.0, "window": 2.5, "lamp": 1.5, "screen": 1.5},
        backgrounds={"room": 4.0, "office": 3.0, "plain": 1.0, "clutter": 1.0},
        distance_mm=(380, 800),
        horizontal_fov_deg=(55, 75),
        frame_px=((1280, 720), (640, 480)),
        face_px=(110, 320),
        head_yaw_deg=(0, 13, 40),
        head_pitch_deg=(-3, 11, 32),
        head_roll_deg=(0, 5, 20),
        gaze="screen",
        gaze_yaw_deg=(0, 11),
        gaze_pitch_deg=(-11, 6),
        iso=(100, 3200),
        apart=0.25,
        against=0.1,
        people={1: 0.97, 2: 0.03},
    ),
    Domain(
        name="phone",
        describes="a phone held in the hand, its front camera above the display, indoors and out",
        chances=(
            {"helmet": 0.01, "sunglasses": 0.06, "face_mask": 0.03, "smile": 0.4}
            | {"motion_blur": 0.14, "low_resolution": 0.03, "noise": 0.2, "near_infrared": 0.0}
            | {"jpeg_artifacts": 0.15, "overexposed": 0.12, "back_light": 0.18}
        ),
        lights=(
            {"window": 2.0, "office": 1.5, "lamp": 1.5, "overcast": 1.5, "sun": 1.5}
            | {"screen": 1.0, "night_street": 0.5}
        ),
        backgrounds={"room": 3.0, "street": 2.0, "nature": 1.5, "office": 1.0, "clutter": 1.0},
        distance_mm=(300, 560),
        horizontal_fov_deg=(60, 75),
        frame_px=((1080, 1920), (720, 1280), (1440, 1920)),
        face_px=(180, 480),
        head_yaw_deg=(0, 14, 45),
        head_pitch_deg=(2, 12, 40),
        head_roll_deg=(0, 9, 30),
        gaze="screen",
        gaze_yaw_deg=(0, 7),
        gaze_pitch_deg=(-8, 7),
        iso=(50, 3200),
        apart=0.2,
        against=0.3,  # a phone is held low: the face is seen from below
        screen_mm=(90, 280),
        people={1: 0.9, 2: 0.1},
    ),
    Domain(
        name="in_car",
        describes="a driver seen from the steering column or the middle of the dashboard: often "
        "near infrared, sun from a side, sunglasses and caps, eyes mostly on the road",
        chances=(
            {"near_infrared": 0.45, "sunglasses": 0.2, "cap": 0.2, "helmet": 0.0}
            | {"lens_reflections": 0.55, "side_light": 0.45, "hard_shadows": 0.4, "dark": 0.25}
            | {"hand_on_face": 0.12, "object_in_front": 0.12, "smile": 0.12, "noise": 0.35}
            | {"overexposed": 0.15, "back_light": 0.15, "jpeg_artifacts": 0.15}
        ),
        lights={"car": 5.0, "sun": 1.0, "night_street": 1.0},
        backgrounds={"car_interior": 1.0},
        distance_mm=(550, 1000),
        horizontal_fov_deg=(40, 65),
        frame_px=((1280, 800), (1600, 1300), (640, 480)),
        face_px=(90, 280),
        head_yaw_deg=(12, 20, 75),
        head_pitch_deg=(8, 9, 40),
        head_roll_deg=(0, 5, 25),
        gaze="road",
        gaze_yaw_deg=(14, 14),
        gaze_pitch_deg=(10, 8),
        iso=(100, 3200),
        apart=0.25,
        against=0.04,
        people={1: 0.85, 2: 0.15},
    ),
    Domain(
        name="street",
        describes="Gaze360-like: people outdoors seen from afar by a wide camera, small faces, "
        "every pose, hats, sun and overcast sky",
        chances=(
            {"cap": 0.15, "brimmed_hat": 0.12, "beanie": 0.1, "helmet": 0.07}
            | {"sunglasses": 0.18, "head_scarf": 0.08, "low_resolution": 0.45, "defocus": 0.2}
            | {"motion_blur": 0.22, "jpeg_artifacts": 0.35, "hard_shadows": 0.4, "dark": 0.1}
            | {"near_infrared": 0.0, "squint": 0.25, "overexposed": 0.15, "noise": 0.15}
        ),
        lights={"sun": 4.0, "overcast": 4.0, "night_street": 0.5},
        backgrounds={"street": 5.0, "nature": 3.0, "bokeh": 1.0, "clutter": 0.5},
        distance_mm=(1300, 3000),
        horizontal_fov_deg=(60, 100),
        frame_px=((1920, 1080), (3840, 2160)),
        face_px=(40, 130),
        head_yaw_deg=(0, 40, 75),
        head_pitch_deg=(-3, 13, 45),
        head_roll_deg=(0, 7, 30),
        gaze="free",
        gaze_yaw_deg=(0, 15),
        gaze_pitch_deg=(-4, 11),
        iso=(50, 3200),
        against=0.05,
        people={1: 0.5, 2: 0.3, 3: 0.2},
    ),
    Domain(
        name="low_light",
        describes="night, a lamp or a screen alone: little light, much noise, slow shutters",
        chances=(
            {"dark": 0.6, "noise": 0.75, "motion_blur": 0.3, "defocus": 0.22, "helmet": 0.02}
            | {"overexposed": 0.03, "warm_light": 0.35, "cool_light": 0.3, "side_light": 0.4}
            | {"low_contrast": 0.3, "jpeg_artifacts": 0.35, "sunglasses": 0.01, "squint": 0.12}
            | {"back_light": 0.2, "near_infrared": 0.08}
        ),
        lights={"lamp": 3.0, "screen": 3.0, "night_street": 2.5},
        backgrounds={"room": 3.0, "street": 2.0, "bokeh": 1.5, "clutter": 1.0},
        distance_mm=(350, 1800),
        horizontal_fov_deg=(50, 80),
        frame_px=((640, 480), (1280, 720), (1920, 1080)),
        face_px=(60, 300),
        head_yaw_deg=(0, 22, 75),
        head_pitch_deg=(-3, 12, 45),
        head_roll_deg=(0, 8, 30),
        gaze="free",
        gaze_yaw_deg=(0, 15),
        gaze_pitch_deg=(-5, 11),
        iso=(400, 12800),
        against=0.08,
        people={1: 0.85, 2: 0.15},
    ),
    Domain(
        name="meeting",
        describes="a room camera before a table: several faces at a distance, mixed office light",
        chances=(
            {"helmet": 0.0, "cap": 0.03, "brimmed_hat": 0.0, "beanie": 0.01, "glasses": 0.42}
            | {"sunglasses": 0.0, "open_mouth": 0.35, "smile": 0.4, "low_resolution": 0.3}
            | {"jpeg_artifacts": 0.45, "hand_on_face": 0.14, "near_infrared": 0.0}
            | {"back_light": 0.2, "dark": 0.1}
        ),
        lights={"office": 5.0, "window": 3.0, "screen": 1.0},
        backgrounds={"office": 5.0, "room": 2.0, "plain": 1.0, "clutter": 1.0},
        distance_mm=(1000, 3000),
        horizontal_fov_deg=(70, 100),
        frame_px=((1920, 1080), (1280, 720)),
        face_px=(40, 160),
        head_yaw_deg=(0, 30, 75),
        head_pitch_deg=(-4, 10, 40),
        head_roll_deg=(0, 6, 25),
        gaze="free",
        gaze_yaw_deg=(0, 15),
        gaze_pitch_deg=(-6, 9),
        iso=(100, 3200),
        against=0.06,
        people={2: 0.25, 3: 0.3, 4: 0.3, 5: 0.1, 6: 0.05},
    ),
    Domain(
        name="medical_masked",
        describes="staff and patients of a hospital: masks, caps and eyewear under even light",
        chances=(
            {"face_mask": 0.85, "cap": 0.2, "beanie": 0.2, "head_scarf": 0.12, "helmet": 0.01}
            | {"brimmed_hat": 0.0, "sunglasses": 0.0, "glasses": 0.45, "lens_reflections": 0.5}
            | {"near_infrared": 0.0, "warm_light": 0.05, "cool_light": 0.35, "dark": 0.05}
            | {"lipstick": 0.1, "eye_shadow": 0.1}
        ),
        lights={"office": 5.0, "studio": 1.0, "window": 1.5},
        backgrounds={"room": 2.0, "office": 3.0, "plain": 2.0, "clutter": 1.5},
        distance_mm=(450, 1800),
        horizontal_fov_deg=(45, 80),
        frame_px=((1280, 720), (1920, 1080)),
        face_px=(70, 320),
        head_yaw_deg=(0, 22, 70),
        head_pitch_deg=(-5, 13, 45),
        head_roll_deg=(0, 7, 30),
        gaze="free",
        gaze_yaw_deg=(0, 15),
        gaze_pitch_deg=(-7, 11),
        iso=(100, 3200),
        against=0.06,
        people={1: 0.8, 2: 0.2},
    ),
)

PROFILE = replace(
    DOMAINS[0],
    name="profile",
    describes="as mix, with heads turned to full profile: for detectors and landmark networks, "
    "since one eye says little of gaze",
    head_yaw_deg=(0, 60, 90),
)
BEYOND_PROFILE = replace(
    PROFILE,
    name="beyond_profile",
    describes="as profile, with most heads turned past it, where one cheek and no eye may be left",
    head_yaw_deg=(90, 14, 112),
)
SMILING = replace(
    DOMAINS[0],
    name="smiling",
    describes="as mix, with most people smiling or narrowing their eyes, whose raised lower lids "
    "look like a gaze that is raised",
    chances={"smile": 0.85, "squint": 0.45, "sunglasses": 0.0},
)
_EYES_SEEN = dict.fromkeys(("sunglasses", "face_mask", "hand_on_face", "object_in_front"), 0.0)
_CLEAR = dict.fromkeys(
    ("noise", "motion_blur", "defocus", "low_resolution", "jpeg_artifacts", "low_contrast")
    + ("dark", "overexposed", "back_light"),
    0.0,
)
INDEPENDENT = replace(
    DOMAINS[0],
    name="independent",
    describes="as mix, but sharp, with open eyes, heads turned anywhere within 30 degrees, and "
    "gazes whose mean no angle of the head changes",
    chances=_EYES_SEEN | _CLEAR,
    face_px=(140, 400),
    head_yaw_deg=(0, 28, 30),
    head_pitch_deg=(0, 15, 30),
    gaze_yaw_deg=(0, 18),
    gaze_pitch_deg=(-3, 13),
    apart=1.0,
    against=0.0,
    even_heads=True,
    closed=0.0,
    people={1: 1.0},
)
HEADS_BACK = replace(
    DOMAINS[0],
    name="heads_back",
    describes="as mix, with eyes that look against the head: two thirds are heads tilted back with "
    "eyes down, as over a phone in the hand, a book or a keyboard, the rest heads down, eyes up",
    chances=_EYES_SEEN,
    face_px=(90, 400),
    against=1.0,
    closed=0.0,
    people={1: 1.0},
)
NAMED_ALONE = (PROFILE, BEYOND_PROFILE, SMILING, INDEPENDENT, HEADS_BACK)
"""Known by their names and no part of ``all``: these are for measuring, or for one thing alone."""


def domain(name: str) -> Domain:
    """The preset of exactly this name; raises :class:`KeyError` that lists the names."""
    every = (*DOMAINS, *NAMED_ALONE)
    for preset in every:
        if preset.name == name:
            return preset
    names = [d.name for d in every]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise KeyError(f"no domain {name!r}; {hint}known: {', '.join(names)}")
