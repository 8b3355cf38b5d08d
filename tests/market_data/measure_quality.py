"""Measure precision and recall of each check over many seeds, and print the table of the docs.

``python -m tests.market_data.measure_quality [FIRST LAST]`` plants each defect once per seed in
sound bars and counts what was found at its place, and what else was. ``--write`` puts the table
into docs/quality.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import date

import numpy as np

from foundation.home import CHECKOUT
from market_data.calendars import compute_sessions
from tests.market_data import corrupting

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def measure(first: int, last: int) -> str:
    """Return the table for the seeds from first to last, the last not included."""
    table = compute_sessions("XNYS", date(2020, 1, 1), date(2026, 12, 31))
    planted: Counter[tuple[str, str, str]] = Counter()
    hits: Counter[tuple[str, str, str]] = Counter()
    false: Counter[tuple[str, str, str]] = Counter()
    clean: Counter[str] = Counter()
    words: dict[str, str] = {}
    for timeframe, defects, make in (
        ("1m", corrupting.MINUTE_DEFECTS, corrupting.sound_minutes),
        ("1d", corrupting.DAILY_DEFECTS, corrupting.sound_days),
    ):
        for seed in range(first, last):
            sound = make(table, seed)
            clean[timeframe] += len(corrupting.found_in(sound, table, timeframe))
            for plant in defects:
                made = plant(sound, table, np.random.default_rng([seed, 99]))
                found = corrupting.found_in(made.columns, table, timeframe)
                key = (timeframe, made.check, plant.__name__)
                words[plant.__name__] = (plant.__doc__ or "").strip().rstrip(".")
                planted[key] += 1
                hits[key] += corrupting.covers(found, made)
                false[key] += len(corrupting.others(found, made))
    n = last - first
    lines = [
        f"Seeds {first} to {last - 1}, one defect at a time in {n} sound series of each timeframe. "
        f"Findings in the {2 * n} sound series themselves: {sum(clean.values())}.",
        "",
        "| Check | Bars | Planted defect | Planted | Found | False findings | Recall | Precision |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for key in sorted(planted, key=lambda k: (k[1], k[0], k[2])):
        timeframe, check, plant_name = key
        precision = hits[key] / max(hits[key] + false[key], 1)
        lines.append(
            f"| `{check}` | {timeframe} | {words[plant_name]} | {planted[key]} | {hits[key]} | "
            f"{false[key]} | {hits[key] / planted[key]:.0%} | {precision:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table, or write it into the page."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()] or [100, 160]
    text = measure(*numbers)
    print(text)
    if "--write" in sys.argv:
        page = CHECKOUT / "docs" / "quality.md"
        before, rest = page.read_text("utf-8").split(BEGIN)
        after = rest.split(END)[1]
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
