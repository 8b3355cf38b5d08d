"""Which company's bars those under a ticker are, and on which days bars are to be expected of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]

# From session dates to the number of the company that the ticker meant, -1 for none.
Companies = Callable[[Int64Array], Int64Array]


def expected_sessions(
    dates: Int64Array, present: NDArray[np.bool_], company: Int64Array
) -> NDArray[np.bool_]:
    """Return on which of a calendar's sessions there should be bars.

    Parameters
    ----------
    dates : int64 array, shape (n_sessions,)
        Days since 1970-01-01, rising.
    present : bool array, shape (n_sessions,)
        Sessions with bars.
    company : int64 array, shape (n_sessions,)
        As of `Companies`.

    Returns
    -------
    bool array, shape (n_sessions,)
        Those from each company's first bar to its last: what lies between two
        companies is nobody's.
    """
    expected = np.zeros(dates.shape[0], np.bool_)
    for one in np.unique(company[present]):
        own = company == one
        rows = np.flatnonzero(own & present)
        if one >= 0:
            expected[rows[0] : rows[-1] + 1] |= own[rows[0] : rows[-1] + 1]
    return expected
