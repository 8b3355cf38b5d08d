"""The rules that `sweep` and the first row of `single` give to every side.

Enter long when RSI(14) < x and slow stochastic %K(14, 3, 3) < 20, exit when
RSI > y; decided at the close, market order at the next bar's open. Stop 1 %
and target 2 % away from the entry's fill price, tested from the entry bar on;
a bar that opens beyond either fills at its open; the stop goes first when a
bar holds both. The two distances are shares of the close that decided, as the
platform freezes distances at the decision. Fee 5 basis points of each fill's
notional. A new entry may be decided at the close of the bar whose exit filled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRATEGIES = Path(__file__).parent / "strategies"
RSI_LENGTH = 14
STOCH = (14, 3, 3)
STOCH_BELOW = 20.0
STOP = 0.01
TARGET = 0.02
FEE = 0.0005
LOT = 1e-8
CASH = 1_000_000.0
IDENTICAL = 0.99  # Least share of trades that both sides must have made alike.


def parameter_sets(n_sets: int = 200) -> NDArray[np.float64]:
    """Return x and y of every set, shape (n_sets, 2): 20 levels of x by 10 of y."""
    sets = [(x, y) for x in np.arange(20.0, 40.0) for y in np.arange(60.0, 80.0, 2.0)]
    return np.array(sets[:n_sets])


def specification(bars: str, sets: NDArray[np.float64], **more: Any) -> dict[str, Any]:
    """Return what a worker gets to know of the rules, as plain JSON."""
    return {
        "bars": bars,
        "sets": sets.tolist(),
        "rsi_length": RSI_LENGTH,
        "stoch": list(STOCH),
        "stoch_below": STOCH_BELOW,
        "stop": STOP,
        "target": TARGET,
        "fee": FEE,
        "lot": LOT,
        "cash": CASH,
        **more,
    }


def share_identical(a: dict[str, NDArray], b: dict[str, NDArray]) -> float:
    """Return the share of trades that two sides made alike.

    Parameters
    ----------
    a, b : mapping
        `set`, `entry`, `exit` (int arrays: parameter set and bar numbers),
        `entry_price`, `exit_price` (float arrays), one element a trade.

    Returns
    -------
    float
        Trades found in both with the same set, bars and prices (1e-9
        relative), over the larger number of trades; 0 without trades.
    """
    larger = max(len(a["set"]), len(b["set"]))
    if larger == 0:
        return 0.0
    prices = {_key(b, i): (b["entry_price"][i], b["exit_price"][i]) for i in range(len(b["set"]))}
    same = 0
    for i in range(len(a["set"])):
        other = prices.get(_key(a, i))
        mine = (a["entry_price"][i], a["exit_price"][i])
        same += other is not None and np.allclose(mine, other, rtol=1e-9, atol=0.0)
    return same / larger


def _key(trades: dict[str, NDArray], i: int) -> tuple[int, int, int]:
    return int(trades["set"][i]), int(trades["entry"][i]), int(trades["exit"][i])
