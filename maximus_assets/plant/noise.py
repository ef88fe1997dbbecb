"""Chance without a generator: random numbers looked up by (seed, stream, index).

A generator hands out its numbers in order, so a slice of a series would depend on where the reading began. Here the
index is hashed instead, and any slice equals the same part of the whole.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_A: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B: Final = np.uint64(0x94D049BB133111EB)
_MASK: Final = 2**64 - 1


def _mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_A
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_B
    return bits ^ (bits >> np.uint64(31))


@lru_cache(maxsize=4096)
def _keys(seed: int, streams: tuple[int, ...]) -> npt.NDArray[np.uint64]:
    """One starting state for each stream of a seed, far apart from one another. Shape (streams, 1)."""
    packed = [(seed * 0xD1342543DE82EF95 + stream * 0x2545F4914F6CDD1D + 1) & _MASK for stream in streams]
    return _mix(np.array(packed, dtype=np.uint64))[:, np.newaxis]


def uniforms(seed: int, streams: tuple[int, ...], index: Indices) -> Floats:
    """Independent numbers, uniform on the open interval (0, 1).

    Args:
        seed: Of the world.
        streams: Which uses of chance; two streams are independent.
        index: Shape (n,), any integers; equal indices give equal numbers.

    Returns:
        Shape (streams, n).
    """
    bits = _mix(_keys(seed, streams) + index.astype(np.uint64) * _GOLDEN)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(seed: int, streams: tuple[int, ...], index: Indices) -> Floats:
    """Independent standard normal numbers (Box and Muller 1958), by stream and index as in `uniforms`.

    Each stream uses the one after it too, so callers space their streams by two.
    """
    pairs = uniforms(seed, (*streams, *(stream + 1 for stream in streams)), index)
    radius, angle = pairs[: len(streams)], pairs[len(streams) :]
    found: Floats = np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * np.pi * angle)
    return found


def drift(seed: int, stream: int, seconds: Indices, knot_seconds: int) -> Floats:
    """A smooth wandering with mean 0 and standard deviation 1 at its knots.

    Normal numbers stand at every multiple of `knot_seconds`; between them it eases from one to the next (value noise,
    Perlin 1985), so it is continuous and has no memory beyond one knot.

    Args:
        seed: Of the world.
        stream: As in `normals`.
        seconds: Shape (n,), n >= 1, ascending seconds since the Unix epoch.
        knot_seconds: Distance of the knots, > 0.

    Returns:
        Shape (n,).
    """
    knot, ease = eased(seconds, knot_seconds)
    first, last = int(knot[0]), int(knot[-1])
    heights = normals(seed, (stream,), np.arange(first, last + 2, dtype=np.int64))[0]
    before = heights[knot - first]
    found: Floats = before + ease * (heights[knot - first + 1] - before)
    return found


def eased(seconds: Indices, knot_seconds: int) -> tuple[Indices, Floats]:
    """The knot before each instant, and how far it has eased towards the next one, 0 to 1 without a kink."""
    knot, rest = np.divmod(seconds, knot_seconds)
    share = rest / knot_seconds
    return knot, share * share * (3.0 - 2.0 * share)
