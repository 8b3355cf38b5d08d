"""`single`: one strategy over a million minute bars, two rows.

The first row runs the common rules beside three peers. These run the first
part of the same bars, and their bars per second are compared: all of them
take the same time for every bar, so nothing is lost by it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench import rules
from bench.bars import START_NS, bars_file
from bench.environments import peer_python, peer_version
from bench.processes import Worker, in_turns
from bench.rows import NotValid, Row

_TARGETS = {"backtesting": 30.0, "backtrader": 500.0, "nautilus_trader": 500.0}
# nautilus_trader fills at the close that decides: trades agree in number only.
_SAME_RULES = ("backtesting", "backtrader")
_NUMBER_AGREES = 0.98
_ALL_FEATURES_TARGET = 2_000_000.0
_BARS_A_FILL = 50.0


def run(*, quick: bool = False) -> list[Row]:
    """Time both rows.

    Parameters
    ----------
    quick : bool
        A tenth of the bars, one round.

    Raises
    ------
    NotValid
        If trades disagree with a peer of the same rules by more than 1 %, in
        number with nautilus_trader by more than 2 %, or if the second row
        fills less than once in 50 bars.
    """
    n_bars, n_peer_bars, n_rounds = (100_000, 10_000, 1) if quick else (1_000_000, 100_000, 3)
    return [
        *_common_rules(n_bars, n_peer_bars, n_rounds),
        _all_features(n_bars, n_rounds),
    ]


def _common_rules(n_bars: int, n_peer_bars: int, n_rounds: int) -> list[Row]:
    spec = rules.specification(
        str(bars_file(n_bars)),
        np.array([[30.0, 70.0]]),
        strategy=str(rules.STRATEGIES / "common_unit.yaml"),
        start_ns=START_NS,
    )
    spec["cash"] = 100.0 * rules.CASH  # One unit a trade must never run out of cash.
    with Worker(Path(sys.executable), "bench.own_single", {**spec, "n_bars": n_bars}) as platform:
        rows = []
        for peer, target in _TARGETS.items():
            module, peer_spec = f"bench.peers.{peer}", {**spec, "n_bars": n_peer_bars}
            with Worker(peer_python(peer), module, peer_spec) as other:
                seconds = in_turns({"platform": platform, "peer": other}, n_rounds)
                agreement = _agreement(peer, platform.arrays(), other.arrays(), n_peer_bars)
            value = n_bars / seconds["platform"]
            peer_value = n_peer_bars / seconds["peer"]
            rows.append(
                Row(
                    name=f"single/common rules, {peer}",
                    value=value,
                    unit="bars/s",
                    ratio=value / peer_value,
                    peer=peer_version(peer),
                    target=f"ratio >= {target:.0f}",
                    met=value / peer_value >= target,
                    details={
                        "n_bars": n_bars,
                        "peer_n_bars": n_peer_bars,
                        "peer_value": peer_value,
                        "note": f"peer ran {n_peer_bars:,} of the bars; bars/s are compared",
                        **agreement,
                    },
                )
            )
    return rows


def _agreement(
    peer: str, own: dict[str, Any], other: dict[str, Any], n_bars: int
) -> dict[str, float]:
    """Compare the trades that closed within the peer's bars."""
    own, other = _closed_before(own, n_bars - 1), _closed_before(other, n_bars - 1)
    n_own, n_other = len(own["set"]), len(other["set"])
    number = min(n_own, n_other) / max(n_own, n_other, 1)
    entries = np.isin(own["entry"], other["entry"]).mean() if n_own else 0.0
    found = {
        "n_trades": n_own,
        "peer_n_trades": n_other,
        "same_entry_bar": float(entries),
        "identical_trades": rules.share_identical(own, other),
    }
    if peer in _SAME_RULES and found["identical_trades"] < rules.IDENTICAL:
        raise NotValid(f"single: trades differ from {peer}'s: {found}")
    if number < _NUMBER_AGREES:
        raise NotValid(f"single: {n_own} trades, {peer} made {n_other}")
    return found


def _closed_before(trades: dict[str, Any], n_bars: int) -> dict[str, Any]:
    kept = trades["exit"] < n_bars
    names = ("set", "entry", "exit", "entry_price", "exit_price")
    return {name: trades[name][kept] for name in names}


def _all_features(n_bars: int, n_rounds: int) -> Row:
    spec = {
        "bars": str(bars_file(n_bars)),
        "n_bars": n_bars,
        "cash": rules.CASH,
        "lot": 1.0,
        "strategy": str(rules.STRATEGIES / "all_features.yaml"),
        "everything": True,
    }
    with Worker(Path(sys.executable), "bench.own_single", spec) as platform:
        seconds = in_turns({"platform": platform}, n_rounds)["platform"]
        arrays = platform.arrays()
        peak = platform.peak_bytes()
    bars_a_fill = n_bars / max(int(arrays["n_fills"]), 1)
    if bars_a_fill > _BARS_A_FILL:
        raise NotValid(
            f"single: all features filled once in {bars_a_fill:.0f} bars, required is once in "
            f"{_BARS_A_FILL:.0f}"
        )
    value = n_bars / seconds
    return Row(
        name="single/all features",
        value=value,
        unit="bars/s",
        target=f"value >= {_ALL_FEATURES_TARGET:,.0f}",
        met=value >= _ALL_FEATURES_TARGET,
        details={
            "n_bars": n_bars,
            "seconds": seconds,
            "n_fills": int(arrays["n_fills"]),
            "n_trades": len(arrays["set"]),
            "bars_a_fill": bars_a_fill,
            "peak_mb": peak / 1e6,
        },
    )
