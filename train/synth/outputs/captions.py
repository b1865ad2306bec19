"""Captions of rendered pictures, from their factors: what the face CLIP is trained on.

A caption is true: it says nothing that the picture's factors deny, nothing of what is hidden, and
nothing of where the person looks, so that the text space knows gaze-irrelevant things alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from train.factors import FACTORS, PROMPT, Factor, factor, is_shown

MOST_WORDS = 60
_LEFT_FOR_FACTORS = MOST_WORDS - 16
"""Words left when the longest template and conjunctions are taken off."""

_PROMPT_SHARE = 0.25
_POSITIVE_SHARE = 0.72

SYNONYMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "feminine": (("female features", "a woman's features"), ("male features", "a man's features")),
    "old": (("aged features", "an older person's features"), ("not elderly features",)),
    "round_face": (("short round proportions",), ("long slender proportions",)),
    "wide_jaw": (("a broad jaw", "a broad chin line"), ("a slim jaw",)),
    "large_nose": (("a big nose", "a prominent nose"), ("a little nose",)),
    "full_lips": (("thick lips", "plump lips"), ("narrow lips",)),
    "large_eyes": (("big eyes",), ("little eyes",)),
    "dark_skin": (("a dark complexion", "deep brown skin"), ("skin that is not dark",)),
    "freckles": (("freckled skin", "a sprinkle of freckles"), ("no freckles",)),
    "wrinkles": (("wrinkles", "lined skin"), ("few wrinkles", "skin without deep lines")),
    "red_cheeks": (("flushed cheeks", "rosy cheeks"), ("no flush on the cheeks",)),
    "shiny_skin": (("glossy skin", "an oily shine on the skin"), ("skin without shine",)),
    "dark_circles": (("dark circles", "shadowed lower lids"), ("no dark circles",)),
    "thick_eyebrows": (("bushy eyebrows", "heavy eyebrows"), ("sparse eyebrows",)),
    "black_hair": (("raven hair", "jet-black hair"), ("no black hair",)),
    "blond_hair": (("fair hair", "blonde hair"), ("no blond hair",)),
    "red_hair": (("ginger hair", "auburn hair"), ("no red hair",)),
    "grey_hair": (("gray hair", "greying hair"), ("no grey hair",)),
    "long_hair": (("hair past the shoulders",), ("no long hair",)),
    "bald": (("a bald scalp", "hardly any hair on the head"), ("a scalp that is not bald",)),
    "fringe": (("bangs", "hair falling over the forehead"), ("no fringe",)),
    "curly_hair": (("curls", "frizzy or curly hair"), ("uncurled hair",)),
    "beard": (("a beard", "a thick beard"), ("no beard",)),
    "moustache": (("a mustache", "hair on the upper lip"), ("no moustache",)),
    "stubble": (("a few days' stubble", "an unshaven chin"), ("no stubble",)),
    "light_eyes": (("pale irises", "irises of a light colour"), ("dark irises",)),
    "smile": (("a smiling mouth", "a happy smile"), ("no smile",)),
    "open_mouth": (("a gaping mouth", "parted jaws"), ("a mouth that is not wide open",)),
    "squint": (("squinting eyes", "half-closed eyelids"), ("no squint",)),
    "frown": (("a furrowed brow", "knitted brows"), ("no frown",)),
    "raised_eyebrows": (("lifted eyebrows", "a surprised brow"), ("unraised eyebrows",)),
    "lipstick": (("painted lips", "coloured lipstick"), ("no lipstick",)),
    "eye_shadow": (("painted eyelids", "coloured eye shadow"), ("no eye shadow",)),
    "glasses": (("spectacles", "a pair of glasses"), ("no spectacles",)),
    "thick_frame": (("thick frames", "a heavy spectacle frame"), ("thin frames",)),
    "sunglasses": (("dark sunglasses", "shades"), ("no shades",)),
    "tinted_lenses": (("coloured lenses",), ("untinted lenses",)),
    "lens_reflections": (("reflections on the lenses",), ("lenses without reflections",)),
    "cap": (("a cap", "a cap with a peak"), ("no cap",)),
    "brimmed_hat": (("a hat with a brim", "a wide hat"), ("no brimmed hat",)),
    "beanie": (("a beanie", "a woollen hat"), ("no beanie",)),
    "helmet": (("a hard helmet", "a safety helmet"), ("no helmet",)),
    "head_scarf": (("a head scarf", "a scarf around the head"), ("no headscarf",)),
    "face_mask": (("a mask over nose and mouth", "a medical mask"), ("no face mask",)),
    "hand_on_face": (("a hand touching the face", "fingers on the face"), ("no hand on the face",)),
    "object_in_front": (("a thing held before the face",), ("no object before the face",)),
    "noise": (("visible grain", "noisy pixels"), ("little noise",)),
    "motion_blur": (("a smear of movement", "blur from movement"), ("no motion blur",)),
    "defocus": (("soft focus", "a lens out of focus"), ("crisp focus",)),
    "low_resolution": (("low resolution", "few pixels"), ("high resolution",)),
    "jpeg_artifacts": (("JPEG artifacts", "strong compression"), ("light compression",)),
    "dark": (("dim light", "a dark exposure"), ("a light that is not dim",)),
    "overexposed": (("too much exposure", "overexposed skin"), ("no overexposure",)),
    "low_contrast": (("low contrast", "faded tones"), ("full contrast",)),
    "side_light": (("a light at the side", "one half in shade"), ("no light from one side",)),
    "back_light": (("a backlight", "a bright light behind the head"), ("no backlight",)),
    "hard_shadows": (("sharp-edged shadows", "harsh shadows"), ("gentle shadows",)),
    "warm_light": (("yellowish light", "a warm cast"), ("light that is not yellowish",)),
    "cool_light": (("bluish light", "a cold cast"), ("light that is not bluish",)),
    "near_infrared": (("infrared light", "grey infrared tones"), ("natural spectrum light",)),
}
"""Other words for a factor's phrases, (where on, where off); each fits :data:`PROMPT`."""

_WORN = (
    *("glasses", "thick_frame", "sunglasses", "cap", "brimmed_hat", "beanie", "helmet"),
    *("head_scarf", "face_mask"),
)

SUBJECTS: dict[tuple[bool, bool | None], tuple[str, ...]] = {
    (True, None): ("a woman", "a female face"),
    (False, None): ("a man", "a male face"),
    (True, True): ("an elderly woman", "an old woman"),
    (True, False): ("a younger woman",),
    (False, True): ("an elderly man", "an old man"),
    (False, False): ("a younger man",),
}
"""Who is pictured, by (feminine, old or unsaid)."""

_ANYBODY = ("a face", "a person", "somebody", "a human face", "one face", "an individual")
_OPENINGS = (
    *("{}", "a photo of {}", "a picture of {}", "a portrait of {}", "an image of {}"),
    *("a snapshot of {}", "a cropped photo of {}", "a frame that shows {}", "here is {}"),
)
_QUALITY = (
    *("{body}. The picture has {quality}.", "{body}; the photo has {quality}."),
    *("{body}, in a picture with {quality}.", "{body}, shot with {quality}."),
    *("Picture with {quality}: {body}.", "Taken with {quality}, {body}."),
)


def phrases(name: str, value: bool) -> tuple[str, ...]:
    """All words for a factor that is on (``value``) or off; the table's own first."""
    this = factor(name)
    on, off = SYNONYMS.get(name, ((), ()))
    return (this.positive, *on) if value else (this.negative, *off)


def caption(rng: np.random.Generator, on: Mapping[str, bool], *, most: int = 7) -> str:
    """A true sentence or two about a picture with the factors ``on`` (all of them).

    Up to ``most`` factors are named, mostly such that are on, in at most :data:`MOST_WORDS` words.
    A quarter of the captions has the exact form of :data:`PROMPT`.
    """
    if most < 1:
        raise ValueError(f"most is {most}; a caption names at least 1 factor")
    named = _chosen(rng, on, most)
    if rng.random() < _PROMPT_SHARE:
        count = 1 if rng.random() < 0.6 else len(named)
        return PROMPT.format(_listed([_words(rng, f, on) for f in named[:count]]))
    return _natural(rng, named, on)


def _chosen(rng: np.random.Generator, on: Mapping[str, bool], most: int) -> list[Factor]:
    """What is named, in order; few enough for the limit of words whatever synonyms are taken."""
    shown = [FACTORS[i] for i in rng.permutation(len(FACTORS)) if is_shown(on, FACTORS[i].name)]
    stock = {value: [f for f in shown if on[f.name] == value] for value in (True, False)}
    named: list[Factor] = []
    words = 0
    for _ in range(int(rng.integers(1, most + 1))):
        value = bool(rng.random() < _POSITIVE_SHARE)
        left = stock[value] or stock[not value]
        if not left:
            break
        this = left.pop()
        words += max(len(p.split()) for p in phrases(this.name, on[this.name]))
        if words > _LEFT_FOR_FACTORS and named:
            break
        named.append(this)
    return named


def _words(rng: np.random.Generator, this: Factor, on: Mapping[str, bool]) -> str:
    choices = phrases(this.name, on[this.name])
    # The table's own phrase is what prompts use, so it comes half of the time.
    return choices[0] if rng.random() < 0.5 else str(rng.choice(choices))


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _natural(rng: np.random.Generator, named: list[Factor], on: Mapping[str, bool]) -> str:
    names = {f.name for f in named}
    subject = str(rng.choice(_ANYBODY))
    if "feminine" in names and rng.random() < 0.8:
        old = on["old"] if "old" in names else None
        subject = str(rng.choice(SUBJECTS[on["feminine"], old]))
        named = [f for f in named if f.name not in ("feminine", "old")]
    apart = rng.random() < 0.7
    quality = [_words(rng, f, on) for f in named if apart and f.dimension == "image quality"]
    rest = [f for f in named if not (apart and f.dimension == "image quality")]
    wearing = rng.random() < 0.6
    worn = [f for f in rest if wearing and f.name in _WORN and on[f.name]]
    shown = [_words(rng, f, on) for f in rest if f not in worn]
    clauses = [f"with {_listed(shown)}"] if shown else []
    if worn:
        clauses.insert(0, f"wearing {_listed([_words(rng, f, on) for f in worn])}")
        if len(clauses) == 2 and rng.random() < 0.3:
            clauses = [f"{clauses[1]},", clauses[0]]
    body = " ".join([str(rng.choice(_OPENINGS)).format(subject), *clauses])
    if not quality:
        return f"{_capital(body)}."
    # The body opens the sentence in some forms and ends it in others.
    form = str(rng.choice(_QUALITY))
    return _capital(form.format(body=body, quality=_listed(quality)))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
