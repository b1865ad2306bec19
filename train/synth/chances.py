"""How the factors of a person and of a picture are drawn, by a domain's chances."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from train.factors import FACTORS, Factor, Scope, factor
from train.synth.variety import Domain

Named = Callable[[str], np.random.Generator]
"""Independent generators by name, such as :class:`train.synth.streams.Streams`."""


INFLUENCES: dict[str, dict[str, tuple[float, float]]] = {
    "wrinkles": {"old": (9.0, 0.35)},
    "red_cheeks": {"dark_skin": (0.35, 1.5)},
    "freckles": {"dark_skin": (0.35, 1.4)},
    "dark_circles": {"old": (1.8, 0.8)},
    "thick_eyebrows": {"feminine": (0.5, 1.9)},
    "black_hair": {"dark_skin": (3.5, 0.5), "old": (0.4, 1.4)},
    "blond_hair": {"dark_skin": (0.08, 2.0)},
    "red_hair": {"dark_skin": (0.1, 1.6), "freckles": (3.0, 0.8)},
    "grey_hair": {"old": (6.0, 0.30)},
    "long_hair": {"feminine": (6.0, 0.12)},
    "bald": {"feminine": (0.05, 2.2), "old": (2.5, 0.7)},
    "fringe": {"feminine": (2.0, 0.5)},
    "curly_hair": {"dark_skin": (2.0, 0.6)},
    "beard": {"feminine": (0.01, 2.6)},
    "moustache": {"feminine": (0.01, 2.0), "beard": (5.0, 0.7)},
    "stubble": {"feminine": (0.01, 2.6)},
    "light_eyes": {"dark_skin": (0.12, 1.9), "blond_hair": (2.5, 0.9), "red_hair": (2.0, 0.95)},
    "open_mouth": {"smile": (2.2, 0.7)},
    "squint": {"smile": (2.0, 0.75)},
    "lipstick": {"feminine": (3.5, 0.06), "beard": (0.2, 1.0)},
    "eye_shadow": {"feminine": (2.2, 0.06), "lipstick": (2.2, 0.6)},
    "glasses": {"old": (1.5, 0.87)},
    "cap": {"feminine": (0.55, 1.5)},
    "beanie": {"old": (0.6, 1.2)},
    "helmet": {"feminine": (0.65, 1.35)},
    "head_scarf": {"feminine": (1.8, 0.3)},
    "jpeg_artifacts": {"low_resolution": (2.2, 0.85)},
    "dark": {"noise": (3.0, 0.6)},
    "hard_shadows": {"side_light": (2.5, 0.75)},
}
"""Odds of a factor are multiplied by the first number where the parent is on, else by the second.

Plausible, not measured: they exist so that prompts and captions meet the combinations that people
really come in, with every combination that is possible still drawn at times.
"""
SHAPE_NOISE = {"feminine": 0.35, "old": 0.35}
"""Standard deviation of what the face's shape does not tell, in those of the score."""
SHAPE_THRESHOLD = {"old": 0.6}
"""Score above which the factor is on; 0 where not given."""


def sample_person_factors(
    streams: Named, shape: Mapping[str, float], domain: Domain
) -> dict[str, bool]:
    """Factors of identity and person, each from its own stream.

    ``shape`` holds the seven identity scores of this face, standardised over people (mean 0,
    sd 1).  Femininity and age are told by shape only in part, hence their noise.  The domain's
    chances replace the table's for the person's scope; identity follows the shape alone.
    """
    on: dict[str, bool] = {}
    for this in FACTORS:
        if this.scope == "identity":
            rng = streams(f"factor {this.name}")
            score = shape[this.name] + rng.normal(0.0, SHAPE_NOISE.get(this.name, 0.0))
            on[this.name] = bool(score > SHAPE_THRESHOLD.get(this.name, 0.0))
    return _drawn(streams, on, domain, "person")


def sample_picture_factors(
    streams: Named, person: Mapping[str, bool], domain: Domain
) -> dict[str, bool]:
    """All factors of one picture: the person's, and the picture's own from its streams."""
    on = _drawn(streams, dict(person), domain, "picture")
    return {f.name: on[f.name] for f in FACTORS}


def _drawn(streams: Named, on: dict[str, bool], domain: Domain, scope: Scope) -> dict[str, bool]:
    for this in FACTORS:
        if this.scope != scope:
            continue
        # Drawn even where it cannot be on: the stream is its own, so nothing else moves.
        draw = streams(f"factor {this.name}").random()
        possible = all(on[n] for n in this.needs) and not any(on.get(n) for n in this.excludes)
        on[this.name] = bool(possible and draw < _share_left(this, on, domain))
    return on


def _share_left(this: Factor, on: Mapping[str, bool], domain: Domain) -> float:
    """Chance given that none of the excluded factors drawn before is on.

    Dividing by what they left makes each of a group as frequent as the table says, and not rarer
    the later it stands.  A factor that the domain makes certain leaves nothing to later ones.
    """
    if any(domain.chances.get(n, 0.0) >= 1.0 for n in this.excludes):
        return 0.0
    taken = sum(_chance(factor(n), on, domain) for n in this.excludes if n in on)
    chance = _chance(this, on, domain)
    return min(1.0, chance / max(1.0 - taken, 1e-6))


def _chance(this: Factor, on: Mapping[str, bool], domain: Domain) -> float:
    chance = domain.chances.get(this.name, this.chance)
    if not 0.0 < chance < 1.0:
        return chance  # an override of never or always is kept exactly
    odds = chance / (1.0 - chance)
    for parent, (if_on, if_off) in INFLUENCES.get(this.name, {}).items():
        odds *= if_on if on[parent] else if_off
    return odds / (1.0 + odds)
