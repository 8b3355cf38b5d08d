"""Measure every indicator and write docs/indicators.md and the table of differences.

Run it after changing a kernel or an oracle's version:
``.venv/bin/python -m docs.make_indicators``
"""

from __future__ import annotations

import warnings
from math import floor, log10
from pathlib import Path

import numpy as np

from trading.indicators.batch import compute
from trading.indicators.catalogue import INDICATORS, ROLLING
from trading.indicators.oracles import ORACLES, difference, sample_columns
from trading.indicators.specs import IndicatorSpec
from trading.indicators.tail import REFUSED, compute_tail, input_names, tail_specs

ROOT = Path(__file__).parent.parent
N_BARS = 20_000


def kernel_difference(spec: IndicatorSpec) -> float:
    """Return a kernel's largest difference from its oracle with default parameters."""
    params = [p.default for p in spec.parameters]
    largest = 0.0
    for seed, price, tick in ((1, 100.0, 0.0), (2, 25.0, 0.01), (3, 1e-6, 0.0)):
        columns = sample_columns(N_BARS, seed, price=price, tick=tick)
        ours = compute(spec, params, columns)
        theirs = ORACLES[spec.name](columns, params)
        largest = max(largest, difference(ours, theirs, spec.warmup(params)))
    return largest


def tail_difference(spec: IndicatorSpec) -> float:
    """Return the largest difference of the window's value from that of 5,000 bars."""
    params = [p.default for p in spec.parameters]
    assert spec.window is not None
    width = spec.window(params)
    columns = tail_columns(spec.name, 5_500)
    ours, theirs = [], []
    for stop in range(5_000, 5_500, 100):
        window = {n: columns[n][stop - width : stop] for n in input_names(spec)}
        whole = {n: columns[n][:stop] for n in input_names(spec)}
        ours.append(compute_tail(spec, params, window))
        theirs.append(compute_tail(spec, params, whole))
    return difference(np.array(ours).T, list(np.array(theirs, np.float64).T), 0)


def tail_columns(name: str, n_bars: int) -> dict[str, np.ndarray]:
    """Return columns that an indicator of the long tail is defined on."""
    columns = dict(sample_columns(n_bars, 4))
    columns["series2"] = sample_columns(n_bars, 5)["close"]
    if name in ("acos", "asin"):
        columns["series"] = np.sin(columns["close"])
    if name == "mavp":
        columns["series2"] = np.full(n_bars, 10.0)
    return columns


def rounded_up(x: float) -> float:
    """Round up to one digit, so that the next run does not differ by noise."""
    if x == 0.0:
        return 0.0
    unit = 10.0 ** floor(log10(x))
    return float(f"{np.ceil(x / unit) * unit:.0e}")


def row(spec: IndicatorSpec, measured: float) -> str:
    """Return an indicator's line of the document's table."""
    parts = ["close"] * spec.inputs.count("series")
    parts += [f"{p.name}={p.default:g}" for p in spec.parameters if p.name != "window"]
    warmup = spec.warmup([p.default for p in spec.parameters])
    outputs = ", ".join(spec.outputs)
    text = spec.convention.split("; 0 means")[0] if spec.window is None else ""
    if "Its level" in spec.convention:
        text = "Its level depends on the window's first bar."
    return (
        f"| `{spec.name}({', '.join(parts)})` | {spec.title} | {outputs} | {warmup} "
        f"| {spec.oracle} | {measured:.0e} | {text} |"
    )


HEAD = (
    "| call | meaning | outputs | warm-up | {} | difference | {} |\n|---|---|---|---:|---|---:|---|"
)
INTRODUCTION = """# Indicators

Made by `python -m docs.make_indicators`; the numbers are measured.

## Kernels

Computed bar by bar in constant time, in the backtest and live by the same compiled function, so
both give the same bits. The difference is the largest from the oracle over three random walks of
20,000 bars, relative to the oracle's value (or its median where that is larger). A NaN input gives
NaN and leaves the indicator as it was. All outputs start together, after the warm-up.
"""
TAIL = """
## The long tail

Computed by TA-Lib or pandas-ta over the last `window` bars, by one function in the backtest and
live. `window` is a last parameter of each; 0 means 5 times the longest length, plus 100. The
difference is that of the window's value from the value over 5,000 bars: where it is not small the
indicator has a long memory, and a longer window brings it closer.
"""


def main() -> None:
    """Write the document and the table of differences."""
    warnings.simplefilter("ignore")
    kernels = {**INDICATORS, **ROLLING}
    measured = {name: rounded_up(kernel_difference(spec)) for name, spec in kernels.items()}
    measured |= {name: rounded_up(tail_difference(spec)) for name, spec in tail_specs().items()}
    lines = [INTRODUCTION, HEAD.format("oracle", "convention")]
    lines += [row(spec, measured[name]) for name, spec in INDICATORS.items()]
    lines += [TAIL, HEAD.format("function", "note")]
    lines += [row(spec, measured[name]) for name, spec in tail_specs().items()]
    lines += ["\n## Refused\n", "| name | why |\n|---|---|"]
    lines += [f"| `{name}` | {reason} |" for name, reason in REFUSED.items()]
    (ROOT / "docs" / "indicators.md").write_text("\n".join(lines) + "\n")
    table = "".join(f'    "{name}": {x!r},\n' for name, x in measured.items())
    (ROOT / "trading" / "indicators" / "differences.py").write_text(
        '"""Largest measured differences, written by docs.make_indicators: do not edit.\n\n'
        "Of a kernel from its oracle; of the long tail from its value over 5,000 bars.\n"
        f'"""\n\nDIFFERENCES: dict[str, float] = {{\n{table}}}\n'
    )


if __name__ == "__main__":
    main()
