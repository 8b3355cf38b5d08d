"""Days of the currency week on which the world trades little, which `FX` has as sessions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Month and day on which there may be no bar at all.
FX_FREE = ((12, 25), (1, 1))
# With those beside them, which end early or begin late.
FX_SHORT = (*FX_FREE, (12, 24), (12, 26), (12, 31), (1, 2))


def on_days(dates: NDArray[np.int64], wanted: tuple[tuple[int, int], ...]) -> NDArray[np.bool_]:
    """Return which dates, days since 1970-01-01, are on one of the days of the year."""
    days = dates.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    month = months.astype(np.int64) % 12 + 1
    day = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    found = np.zeros(dates.shape[0], np.bool_)
    for one_month, one_day in wanted:
        found |= (month == one_month) & (day == one_day)
    return found
