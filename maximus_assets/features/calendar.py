"""Calendar columns: where in the day and in the week an instant lies.

Numpy alone, because the shipped forecaster computes these while serving. Phases are counted from the Unix epoch in
absolute seconds, so that training and serving agree whatever window each was given. A fixed offset from UTC only turns
the phase, which the coefficients absorb; a change to daylight saving time is not modelled.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY_SECONDS: Final = 86_400
WEEK_SECONDS: Final = 604_800


def column_count(day_harmonics: int, week_harmonics: int) -> int:
    """How many columns `fourier_columns` returns: a constant and a pair for each harmonic that counts."""
    return 1 + 2 * len(frequencies(day_harmonics, week_harmonics))


def frequencies(day_harmonics: int, week_harmonics: int) -> NDArray[np.float64]:
    """Cycles per second of each pair of columns, in order.

    The seventh, fourteenth, ... harmonic of the week is a harmonic of the day: it is left out where the day already
    brings it, or the columns would be linearly dependent.

    Args:
        day_harmonics: Harmonics of 24 hours, >= 0.
        week_harmonics: Harmonics of 7 days, >= 0.

    Returns:
        Shape (k,), the day's harmonics first.
    """
    day = [harmonic / DAY_SECONDS for harmonic in range(1, day_harmonics + 1)]
    week = [
        harmonic / WEEK_SECONDS
        for harmonic in range(1, week_harmonics + 1)
        if harmonic % 7 or harmonic // 7 > day_harmonics
    ]
    return np.array([*day, *week], dtype=np.float64)


def fourier_columns(
    epoch_seconds: NDArray[np.int64], day_harmonics: int, week_harmonics: int
) -> NDArray[np.float64]:
    """A constant, then sine and cosine of each harmonic of day and week.

    Dynamic harmonic regression: Hyndman and Athanasopoulos, Forecasting: Principles and Practice (3rd ed., 2021),
    section 10.5.

    Args:
        epoch_seconds: Instants in seconds since the Unix epoch, shape (n,).
        day_harmonics: Harmonics of 24 hours, >= 0.
        week_harmonics: Harmonics of 7 days, >= 0.

    Returns:
        Shape (n, column_count(day_harmonics, week_harmonics)); every value within [-1, 1].
    """
    # Within the week the phase is exact; counted from the epoch it would lose digits to the large multiple.
    within_week = np.mod(epoch_seconds, WEEK_SECONDS).astype(np.float64)
    angles = 2.0 * np.pi * within_week[:, None] * frequencies(day_harmonics, week_harmonics)[None, :]
    columns = np.ones((len(epoch_seconds), column_count(day_harmonics, week_harmonics)))
    columns[:, 1::2] = np.sin(angles)
    columns[:, 2::2] = np.cos(angles)
    return columns
