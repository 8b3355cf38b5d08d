"""Parameter sets: which there are, which fit together, and the bars that they shall run over.

What a sweep, a search and a walk-forward analysis begin with. Runs nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from market_data.loading import LoadedBars
from market_data.store import Store
from research.backtest import (
    BacktestRequest,
    capital_shares,
    check_currencies,
    load_instrument,
    weight_names,
)
from trading.document import StrategyDocument, check_value, check_values, version_hash
from trading.expressions.strategy import ResolvedStrategy, bind, resolve_strategy
from trading.sweep import sessions_per_year

# More rows than a person or a heat map can use, and about as much as fits in memory.
N_SETS_MAX = 200_000

Values = Mapping[str, tuple[float, ...]]


def read_values(text: str) -> tuple[float, ...]:
    """Return the values that ``5:30:5`` (both ends included) or ``20,25,30`` names.

    Raises
    ------
    SpecError
        If the text is neither, or a step leads nowhere.

    Examples
    --------
    >>> read_values("0.1:0.3:0.1")
    (0.1, 0.2, 0.3)
    >>> read_values("20,25")
    (20.0, 25.0)
    """
    try:
        if ":" not in text:
            found = tuple(float(part) for part in text.split(","))
        else:
            # In decimals, because a value must be the one that a person would type.
            low, high, step = (Decimal(part.strip()) for part in text.split(":"))
            if not step > 0 or high < low:
                raise SpecError(f"{text!r} must be low:high:step with low <= high and step > 0")
            n_steps = (high - low) // step
            if n_steps >= N_SETS_MAX:
                raise SpecError(f"{text!r} has more than {N_SETS_MAX:,} values")
            found = tuple(float(low + i * step) for i in range(int(n_steps) + 1))
    except (ValueError, InvalidOperation):
        raise SpecError(f"{text!r} is neither low:high:step nor numbers with commas") from None
    return tuple(dict.fromkeys(found))


def declared_values(document: StrategyDocument) -> dict[str, tuple[float, ...]]:
    """Return the values of every parameter that states low, high and step.

    Raises
    ------
    SpecError
        If there is none.
    """
    found = {
        name: read_values(f"{p.low!r}:{p.high!r}:{p.step!r}")
        for name, p in document.parameters.items()
        if p.low is not None and p.high is not None and p.step is not None
    }
    if not found:
        raise SpecError("no parameter states low, high and step to sweep over", path="parameters")
    return found


def count_sets(values: Values) -> int:
    """Return the size of the grid."""
    total = 1
    for found in values.values():
        total *= len(found)
    return total


def choose_sets(values: Values, *, n_random: int = 0, seed: int = 0) -> list[dict[str, float]]:
    """Return the whole grid, or a number of its sets drawn without repetition.

    The last parameter varies fastest; drawn sets keep the grid's order.

    Raises
    ------
    SpecError
        If there are too many, or less than one is asked for.
    """
    names, total = list(values), count_sets(values)
    if n_random < 0:
        raise SpecError(f"the number of random sets must be above 0, got {n_random}")
    n_sets = min(n_random, total) if n_random else total
    if n_sets > N_SETS_MAX:
        raise SpecError(
            f"the grid has {n_sets:,} sets, at most {N_SETS_MAX:,} can be run at once",
            hint="draw some of them at random",
        )
    if n_sets == total:
        grid: Iterator[tuple[float, ...]] = itertools.product(*values.values())
        return [dict(zip(names, row, strict=True)) for row in grid]
    drawn = sorted(random.Random(seed).sample(range(total), n_sets))
    return [_set_at(values, number) for number in drawn]


def _set_at(values: Values, number: int) -> dict[str, float]:
    """Return one set of the grid by its place."""
    found = {}
    for name in reversed(list(values)):
        number, i_value = divmod(number, len(values[name]))
        found[name] = values[name][i_value]
    return {name: found[name] for name in values}


@dataclass(frozen=True, slots=True)
class PreparedSets:
    """Parameter sets that fit together, and the bars that they shall run over.

    Attributes
    ----------
    sets : tuple of mappings
        What varies, in the order of the grid.
    skipped : tuple of str
        Why sets were left out, one line each.
    cash : tuple of float
        Starting cash of each instrument.
    """

    request: BacktestRequest
    strategy: ResolvedStrategy
    version: str
    fingerprint: str
    sets: tuple[Mapping[str, float], ...]
    skipped: tuple[str, ...]
    loaded: tuple[LoadedBars, ...]
    cash: tuple[float, ...]
    annualisation: int

    @property
    def instruments(self) -> tuple[str, ...]:
        """Symbols in the order of the bars."""
        return tuple(one.bars.instrument.symbol for one in self.loaded)

    @property
    def n_bars(self) -> int:
        """Bars of all instruments, without warm-up."""
        return sum(one.bars.n_bars - one.i_start for one in self.loaded)

    @property
    def sessions(self) -> NDArray[np.int64]:
        """Dates of all traded sessions, as days since 1970-01-01."""
        return np.unique(np.concatenate([one.bars.session[one.i_start :] for one in self.loaded]))

    @property
    def start(self) -> str:
        """First traded session, ISO date."""
        return _day(min(int(one.bars.session[one.i_start]) for one in self.loaded))

    @property
    def end(self) -> str:
        """Last traded session, ISO date."""
        return _day(max(int(one.bars.session[-1]) for one in self.loaded))

    def full_sets(self) -> list[Mapping[str, float]]:
        """Return the sets with the values that all share."""
        return [{**self.request.values, **one} for one in self.sets]


def prepare_sets(
    request: BacktestRequest,
    values: Values,
    store: Store,
    *,
    n_random: int = 0,
    seed: int = 0,
) -> PreparedSets:
    """Choose the sets, leave out those that don't fit, and load the bars.

    Raises
    ------
    SpecError, DataError
        As for `sweep_backtests`.
    """
    if not request.cash > 0.0:
        raise SpecError(f"starting cash must be above 0, got {request.cash:g}", path="cash")
    strategy = resolve_strategy(request.document)
    check_values_named(request, values)
    sets, skipped = _fitting(
        strategy, request.values, choose_sets(values, n_random=n_random, seed=seed)
    )
    return load_sets(request, strategy, sets, skipped, store)


def load_sets(
    request: BacktestRequest,
    strategy: ResolvedStrategy,
    sets: Sequence[Mapping[str, float]],
    skipped: Sequence[str],
    store: Store,
) -> PreparedSets:
    """Load the bars that sets which fit together shall run over; the first set tells which.

    Raises
    ------
    SpecError, DataError
        As for a backtest.
    """
    symbols = request.symbols or strategy.instruments
    bound = bind(strategy, {**request.values, **sets[0]})
    loaded = [
        load_instrument(request, strategy, bound, symbol, store) for symbol in symbols or ("",)
    ]
    check_currencies(loaded)
    prints = "".join(f"{one.bars.instrument.symbol}:{one.fingerprint};" for one in loaded)
    return PreparedSets(
        request,
        strategy,
        version_hash(request.document),
        hashlib.sha256(prints.encode()).hexdigest(),
        tuple(sets),
        tuple(skipped),
        tuple(loaded),
        tuple(
            share * request.cash for share in capital_shares(request.document, weight_names(loaded))
        ),
        max(sessions_per_year(one.bars) for one in loaded),
    )


def _day(days: int) -> str:
    return str(np.datetime64(days, "D"))


def check_values_named(request: BacktestRequest, values: Values) -> None:
    """Refuse unknown parameters and single values that are not allowed."""
    if not values:
        raise SpecError("a sweep needs at least one parameter to vary")
    check_values(request.document, request.values)
    check_values(request.document, {name: found[0] for name, found in values.items()})
    for name, found in values.items():
        for value in found:
            check_value(request.document.parameters[name], value, f"parameters.{name}")


def _fitting(
    strategy: ResolvedStrategy, fixed: Mapping[str, float], sets: list[dict[str, float]]
) -> tuple[list[dict[str, float]], list[str]]:
    """Leave out sets whose values don't fit together, such as fast above slow."""
    kept, skipped = [], []
    for one in sets:
        try:
            bind(strategy, {**fixed, **one})
        except SpecError as error:
            skipped.append(f"{', '.join(f'{k}={v:g}' for k, v in one.items())}: {error}")
        else:
            kept.append(one)
    if not kept:
        raise SpecError(f"no parameter set fits together: {skipped[0]}")
    return kept, skipped
