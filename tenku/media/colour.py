"""Colour of video and pictures, brought to sRGB: other primaries, other transfer curves, HDR tone mapped to SDR.

Codes are those of ITU-T H.273, as files carry them.
"""

from collections.abc import Callable

import numpy as np

UNSPECIFIED = 2
BT709 = 1  # primaries, transfer curve and matrix
BT2020 = 9  # primaries
LINEAR, PQ, DCI, HLG = 8, 16, 17, 18  # transfer curves
PAPER_WHITE = 203.0  # nits of diffuse white in HDR (ITU-R BT.2408)
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2  # nits of the screen that HLG is shown on, and its system gamma (ITU-R BT.2100)

# Chromaticities x, y of red, green, blue and white (H.273, table 2). What is not named here is taken for BT.709.
D65, C, DCI_WHITE = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
PRIMARIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), C),  # BT.470 M
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),  # BT.601, 625 lines
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),  # BT.601, 525 lines
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),  # SMPTE 240M
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), C),  # film
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),  # BT.2020
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),  # CIE XYZ
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), DCI_WHITE),  # DCI-P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),  # Display P3
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),  # EBU 3213
}
PRIMARIES_NAMES = {
    BT709: "BT.709",
    4: "BT.470 M",
    5: "BT.601-625",
    6: "BT.601-525",
    7: "SMPTE 240M",
    8: "film",
    BT2020: "BT.2020",
    10: "XYZ",
    11: "DCI-P3",
    12: "Display P3",
    22: "EBU 3213",
}
TRANSFER_NAMES = {PQ: "PQ (HDR)", HLG: "HLG (HDR)", LINEAR: "linear light", 4: "gamma 2.2", 5: "gamma 2.8", DCI: "DCI"}
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def is_plain(primaries: int, transfer: int) -> bool:
    """Whether values of these are shown as they are: SDR in BT.709 (sRGB's primaries), or nothing said."""
    return primaries not in PRIMARIES.keys() - {BT709} and transfer not in TO_LIGHT


def to_srgb(values: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """uint16 … 3 (R'G'B', full range) of these primaries and this transfer curve, as uint8 sRGB.

    HDR: diffuse white (203 nits) becomes 246; up to 0.8 of it all light keeps its place, brighter light is rolled off
    towards white. SDR keeps its greys.
    """
    light = light_table(transfer)[values]
    if transfer == HLG:  # the screen's gamma works on luminance, in the light of the scene (BT.2100, table 5)
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= (np.maximum(luminance, 1e-9) ** np.float32(HLG_GAMMA - 1))[..., None] * (HLG_PEAK / PAPER_WHITE)
    light = light @ matrix_to_srgb(primaries).T
    if transfer in (PQ, HLG):
        light = np.maximum(light, 0)
        light = np.where(light > 0.8, 1 - 0.2 * np.exp(-(light - 0.8) / 0.2), light)
    return encode_srgb(light)


def light_table(transfer: int) -> np.ndarray:
    """float32 of 65,536: the light of each 16-bit value; 1 is white (HLG: the brightest light of the scene)."""
    curve = TO_LIGHT.get(transfer, srgb_to_light)
    return curve(np.arange(65536, dtype=np.float64) / 65535).astype(np.float32)


def srgb_to_light(signal: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1. SDR of every kind is taken for it, so that greys stay as they are."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def pq_to_light(signal: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084: 10,000 nits at 1, over diffuse white."""
    powered = signal ** (1 / 78.84375)
    nits = 10000 * (np.maximum(powered - 0.8359375, 0) / (18.8515625 - 18.6875 * powered)) ** (1 / 0.1593017578125)
    return nits / PAPER_WHITE


def hlg_to_light(signal: np.ndarray) -> np.ndarray:
    """ARIB STD-B67 (BT.2100, table 5): light of the scene from 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


# Transfer curve -> light of its signal, where that is another one than that of SDR.
TO_LIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    4: lambda signal: signal**2.2,
    5: lambda signal: signal**2.8,
    LINEAR: lambda signal: signal,
    PQ: pq_to_light,
    DCI: lambda signal: signal**2.6 * 52.37 / 48,
    HLG: hlg_to_light,
}


def encode_srgb(light: np.ndarray) -> np.ndarray:
    """uint8 of linear light in sRGB's primaries; what is outside is cut off."""
    light = light.clip(0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)


def matrix_to_srgb(primaries: int) -> np.ndarray:
    """float32 3 3: linear light of these primaries to sRGB's, white to white (Bradford)."""
    if primaries not in PRIMARIES or primaries == BT709:
        return np.eye(3, dtype=np.float32)
    *_, white = PRIMARIES[primaries]
    source, target = BRADFORD @ white_of(white), BRADFORD @ white_of(D65)
    adapted = np.linalg.inv(BRADFORD) @ np.diag(target / source) @ BRADFORD
    return (np.linalg.inv(to_xyz(BT709)) @ adapted @ to_xyz(primaries)).astype(np.float32)


def to_xyz(primaries: int) -> np.ndarray:
    """3 3: linear light of these primaries to CIE XYZ, white at Y = 1."""
    *colours, white = PRIMARIES[primaries]
    columns = np.array([[x, y, 1 - x - y] for x, y in colours]).T
    return columns * np.linalg.solve(columns, white_of(white))


def white_of(white: tuple[float, float]) -> np.ndarray:
    x, y = white
    return np.array([x / y, 1, (1 - x - y) / y])
