"""The colour of skin from what is in it: melanin in the epidermis, blood in the dermis.

Light crosses the epidermis (melanin absorbs), is scattered back by the dermis (blood absorbs), and
crosses the epidermis again.  Absorption and scattering are those that S. L. Jacques compiled ("Skin
optics", Oregon Medical Laser Center News, January 1998); haemoglobin's molar extinction is
S. Prahl's compilation (Oregon Medical Laser Center, 1999).  The dermis is a half space in the
diffusion approximation of Farrell, Patterson and Wilson (Med. Phys. 19, 879, 1992, eq. 17); the
epidermis is a Kubelka-Munk layer on it (J. Opt. Soc. Am. 38, 448, 1948), whose own scattering keeps
dark skin from turning black and orange.
Spectra become colours with the analytic matching functions of Wyman, Sloan and Shirley (JCGT 2(2),
2013) under CIE illuminant D65.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Spectrum = NDArray[np.float64]

MELANIN_RANGE = (0.005, 0.6)
"""Volume fraction of melanosomes in the epidermis: very light to beyond the darkest (moles)."""

BLOOD_RANGE = (0.002, 0.15)
"""Volume fraction of blood in the dermis: pale to the red of lips."""

TABLE_STEPS = 128
EPIDERMIS_CM = 40e-4
"""Thickness of the pigmented part of the epidermis."""

MELANOSOME_SCATTERING_PER_CM = 120.0
"""Reduced scattering at 500 nm of pure melanosomes: set so that dark skin's b* is as measured."""

SATURATION = 0.7
HAEMOGLOBIN_G_PER_L = 150.0
HAEMOGLOBIN_G_PER_MOL = 64500.0
REFRACTIVE_INDEX = 1.4

WAVELENGTHS_NM: Spectrum = np.arange(400.0, 701.0, 20.0)

HBO2_PER_CM_M: Spectrum = np.array(
    [266232, 480360, 102580, 44480, 26629.2, 20932.8, 24202.4, 53236]
    + [32613.2, 50104, 3200, 942, 442, 319.6, 277.6, 290]
)
"""Molar extinction of oxygenated haemoglobin, 1/(cm mol/l), at :data:`WAVELENGTHS_NM`."""

HB_PER_CM_M: Spectrum = np.array(
    [223296, 407560, 413280, 23388.8, 14550, 20862, 31589.6, 46592]
    + [53788, 37020, 14677.2, 6509.6, 4345.2, 3226.56, 2407.92, 1794.28]
)
"""Molar extinction of deoxygenated haemoglobin, likewise."""

D65: Spectrum = np.array(
    [82.75, 93.43, 104.87, 117.81, 115.92, 109.35, 104.79, 104.41]
    + [100.0, 95.79, 90.01, 87.70, 83.70, 80.21, 78.28, 71.61]
)
"""Relative power of CIE illuminant D65 at :data:`WAVELENGTHS_NM`."""

SRGB_FROM_XYZ: Spectrum = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)
"""IEC 61966-2-1."""


def reflectance(
    melanin: ArrayLike, blood: ArrayLike, *, saturation: float = SATURATION
) -> Spectrum:
    """Diffuse reflectance (..., 16) of skin at :data:`WAVELENGTHS_NM`.

    ``melanin`` and ``blood`` are volume fractions that broadcast to (...).
    """
    nm = WAVELENGTHS_NM
    m, b = (np.asarray(a, np.float64)[..., None] for a in (melanin, blood))
    bloodless = 0.244 + 85.3 * np.exp(-(nm - 154.0) / 66.2)
    molar = saturation * HBO2_PER_CM_M + (1.0 - saturation) * HB_PER_CM_M
    of_blood = 2.303 * molar * HAEMOGLOBIN_G_PER_L / HAEMOGLOBIN_G_PER_MOL
    large, small = 2e5 * nm**-1.5, 2e12 * nm**-4.0  # the small are collagen's fibrils: dermis only
    under = _half_space(b * of_blood + (1.0 - b) * bloodless, large + small)
    grains = m * MELANOSOME_SCATTERING_PER_CM * (nm / 500.0) ** -1.5
    pigment = m * 6.6e11 * nm**-3.33 + (1.0 - m) * bloodless
    over, through = _layer(pigment, large + grains)
    return np.asarray(over + through**2 * under / (1.0 - over * under))


def _half_space(absorption: Spectrum, scattering: Spectrum) -> Spectrum:
    """Diffuse reflectance of a thick layer below a surface to air; coefficients in 1/cm."""
    n = REFRACTIVE_INDEX
    inner = -1.440 / n**2 + 0.710 / n + 0.668 + 0.0636 * n
    mismatch = (1.0 + inner) / (1.0 - inner)
    albedo = scattering / (scattering + absorption)
    depth = np.sqrt(3.0 * (1.0 - albedo))
    return 0.5 * albedo * (1.0 + np.exp(-4.0 / 3.0 * mismatch * depth)) * np.exp(-depth)


def _layer(absorption: Spectrum, scattering: Spectrum) -> tuple[Spectrum, Spectrum]:
    """Diffuse (reflectance, transmittance) of the epidermis; coefficients in 1/cm."""
    k, s = 2.0 * absorption, 0.75 * scattering  # diffuse light's path is twice the depth
    a = 1.0 + k / s
    b = np.sqrt(a**2 - 1.0)
    sinh, cosh = np.sinh(b * s * EPIDERMIS_CM), np.cosh(b * s * EPIDERMIS_CM)
    return sinh / (a * sinh + b * cosh), b / (a * sinh + b * cosh)


def linear_from_reflectance(spectrum: Spectrum) -> Spectrum:
    """Linear sRGB (..., 3) of reflectance (..., 16) under D65; white paper is (1, 1, 1)."""
    weights = _color_matching() * D65[:, None]
    xyz = spectrum @ (weights / weights[:, 1].sum())
    # The white of these coarse samples is not exactly D65's: scaled so that a flat 1 is white.
    white = SRGB_FROM_XYZ @ (weights.sum(0) / weights[:, 1].sum())
    return np.asarray(xyz @ SRGB_FROM_XYZ.T / white)


def skin_rgb(melanin: ArrayLike, blood: ArrayLike) -> Floats:
    """Linear sRGB (..., 3) of skin with these volume fractions, clipped to their ranges.

    Both broadcast to (...); scalars or maps, looked up in a table (bilinear in the logarithms).
    """
    m, b = np.broadcast_arrays(np.asarray(melanin, np.float32), np.asarray(blood, np.float32))
    flat = look_up(skin_table(), table_steps(m, MELANIN_RANGE), table_steps(b, BLOOD_RANGE))
    return np.asarray(flat.reshape(*m.shape, 3), np.float32)


def table_steps(fraction: ArrayLike, limits: tuple[float, float]) -> Floats:
    """Place of a volume fraction along one side of the table, in steps (logarithmic)."""
    low, high = np.log(limits)
    logs = np.log(np.maximum(np.asarray(fraction, np.float32), 1e-6))
    return np.asarray((logs - low) * ((TABLE_STEPS - 1) / (high - low)), np.float32)


def look_up(table: Floats, melanin_steps: Floats, blood_steps: Floats) -> Floats:
    """Colours (h, w, 3) of maps (h, w) in table steps, beyond the ends clamped.

    A map of any other shape is taken as one column.
    """
    x, y = (
        np.ascontiguousarray(a if a.ndim == 2 else a.reshape(-1, 1), np.float32)
        for a in (melanin_steps, blood_steps)
    )
    colors = cv2.remap(table, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colors, np.float32)


@lru_cache(maxsize=1)
def skin_table() -> Floats:
    """(128, 128, 3) linear sRGB; rows are blood, columns melanin, both in logarithmic steps."""
    melanin = np.geomspace(*MELANIN_RANGE, TABLE_STEPS)[None, :]
    blood = np.geomspace(*BLOOD_RANGE, TABLE_STEPS)[:, None]
    table = linear_from_reflectance(reflectance(melanin, blood))
    return np.ascontiguousarray(np.clip(table, 0.0, 1.0), np.float32)


def _color_matching() -> Spectrum:
    """(16, 3) x, y and z of Wyman et al. 2013, eq. 4 (the multi-lobe fit)."""

    def lobe(center: float, below: float, above: float) -> Spectrum:
        nm = WAVELENGTHS_NM
        return np.exp(-0.5 * ((nm - center) / np.where(nm < center, below, above)) ** 2)

    x = 1.056 * lobe(599.8, 37.9, 31.0) + 0.362 * lobe(442.0, 16.0, 26.7)
    x -= 0.065 * lobe(501.1, 20.4, 26.2)
    y = 0.821 * lobe(568.8, 46.9, 40.5) + 0.286 * lobe(530.9, 16.3, 31.1)
    z = 1.217 * lobe(437.0, 11.8, 36.0) + 0.681 * lobe(459.0, 26.0, 13.8)
    return np.stack([x, y, z], 1)
