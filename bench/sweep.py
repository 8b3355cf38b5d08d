"""`sweep`: many parameter sets over the same bars, beside vectorbt and a bare loop."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import rules
from bench.bars import bars_file
from bench.environments import peer_python, peer_version
from bench.processes import N_THREADS, Worker, in_turns
from bench.rows import NotValid, Row

_TARGET = 40.0
_MEMORY_TARGET = 0.2


def run(*, quick: bool = False) -> list[Row]:
    """Time all sets on every side in turns and compare their trades.

    Parameters
    ----------
    quick : bool
        A fifth of the bars and a tenth of the sets, one round: to see that
        it works, not how fast it is.

    Raises
    ------
    NotValid
        If fewer than 99 % of the trades are identical in entry bar, exit bar
        and prices.
    """
    n_bars, n_sets, n_rounds = (20_000, 20, 1) if quick else (100_000, 200, 5)
    sets = rules.parameter_sets(n_sets)
    spec = rules.specification(str(bars_file(n_bars)), sets)
    own = Path(sys.executable)
    sides: dict[str, tuple[Path, str, dict[str, Any]]] = {
        "platform": (own, "bench.own_sweep", spec),
        "bare loop": (own, "bench.bare_loop", spec),
        "vectorbt": (peer_python("vectorbt"), "bench.peers.vectorbt", {**spec, "engine": "numba"}),
    }
    if not quick:
        rust = peer_python("vectorbt_rust")
        sides["rust"] = (rust, "bench.peers.vectorbt", {**spec, "engine": "rust"})
    # A process that compiles is larger and slower: the measured ones find warm kernels.
    for name in ("platform", "bare loop"):
        Worker(*sides[name]).close()
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(*side)) for name, side in sides.items()}
        seconds = in_turns(workers, n_rounds)
        peak = {name: worker.peak_bytes() for name, worker in workers.items()}
        trades = {name: worker.arrays() for name, worker in workers.items()}
    share = check_identical(trades)
    evaluations = n_bars * n_sets
    common: dict[str, Any] = {
        "n_bars": n_bars,
        "n_sets": n_sets,
        "n_trades": len(trades["platform"]["set"]),
        "n_threads": N_THREADS,
        "n_rounds": n_rounds,
    }
    ratio = seconds["vectorbt"] / seconds["platform"]
    memory_ratio = peak["platform"] / peak["vectorbt"]
    rows = [
        Row(
            name="sweep",
            value=evaluations / seconds["platform"],
            unit="bar-evaluations/s",
            ratio=ratio,
            peer=peer_version("vectorbt"),
            target=f"ratio >= {_TARGET:.0f}",
            met=ratio >= _TARGET,
            details={
                **common,
                "seconds": seconds["platform"],
                "peer_seconds": seconds["vectorbt"],
                "peer_value": evaluations / seconds["vectorbt"],
                "identical_trades": share,
                "ratio_to_bare_loop": seconds["bare loop"] / seconds["platform"],
                "bare_loop_value": evaluations / seconds["bare loop"],
            },
        ),
        Row(
            name="sweep/memory",
            value=peak["platform"] / 1e6,
            unit="MB, peak of the whole process",
            ratio=memory_ratio,
            peer=peer_version("vectorbt"),
            target=f"ratio <= {_MEMORY_TARGET}",
            met=memory_ratio <= _MEMORY_TARGET,
            details={
                "peer_value": peak["vectorbt"] / 1e6,
                "bare_loop_value": peak["bare loop"] / 1e6,
            },
        ),
        Row(
            name="sweep/bare loop",
            value=evaluations / seconds["platform"],
            unit="bar-evaluations/s",
            ratio=seconds["bare loop"] / seconds["platform"],
            peer="hand-written numba loop",
            details={"peer_value": evaluations / seconds["bare loop"]},
        ),
    ]
    if "rust" in seconds:
        rows.append(
            Row(
                name="sweep/rust",
                value=evaluations / seconds["platform"],
                unit="bar-evaluations/s",
                ratio=seconds["rust"] / seconds["platform"],
                peer=f"{peer_version('vectorbt_rust')} with its Rust kernels",
                details={"peer_value": evaluations / seconds["rust"]},
            )
        )
    return rows


def check_identical(trades: dict[str, dict[str, Any]]) -> float:
    """Return the share of trades that the platform and vectorbt made alike.

    Raises
    ------
    NotValid
        If it, or the bare loop's, is below 99 %.
    """
    share = rules.share_identical(trades["platform"], trades["vectorbt"])
    to_bare = rules.share_identical(trades["platform"], trades["bare loop"])
    for name, found in (("vectorbt", share), ("the bare loop", to_bare)):
        if found < rules.IDENTICAL:
            raise NotValid(
                f"sweep: {found:.2%} of the trades are identical with those of {name} "
                f"({len(trades['platform']['set'])} trades), required are {rules.IDENTICAL:.0%}"
            )
    return share
