"""Writing: a backtest as the files of a result directory.

Same inputs give the same bytes. The summary is written before the tables'
neighbours (report, PDF, XLSX), and the whole directory appears at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.files import atomic_directory
from foundation.log_file import note
from market_data.securities import LISTING_FINDINGS
from research.arrow_columns import dates, names, nothing, table_of, texts, times, truths
from research.backtest import (
    ENGINE_VERSION,
    Backtest,
    PortfolioCurve,
    SleeveResult,
    portfolio_curve,
)
from research.figures import core_figures, sum_headers
from research.summary import (
    NOTE_NEVER_TRADED,
    NOTE_NO_VOLUME,
    NOTE_SAME_CLOSE,
    NOTE_SIZED_AT_FILL,
    SUMMARY_FILE,
    Figures,
    InstrumentFigures,
    Summary,
    YearFigures,
    encode_summary,
)
from trading import statistics
from trading.codes import (
    ACTIONS,
    CASH_EVENTS,
    ORDER_STATES,
    ORDER_TYPES,
    REASONS,
    ROLES,
    TIMES_IN_FORCE,
)
from trading.document import canonical
from trading.dtypes import END_OF_DATA, FREE, ORDER_LOG, TRUE, UNKNOWN
from trading.explaining import formula_of, formula_values
from trading.feeding import needs_factors
from trading.identifiers import cash_event_id, client_order_id, execution_id
from trading.planning import CONDITIONS, Formula

PORTFOLIO = "PORTFOLIO"


def write_result(backtest: Backtest, directory: Path) -> Summary:
    """Write summary and tables of a backtest to a directory, all or nothing.

    Raises
    ------
    DataError
        If the disk is full or the directory can't be written; what was there
        before stays whole.
    """
    curve = portfolio_curve(backtest)
    summary = summarise_backtest(backtest, curve)
    with atomic_directory(directory) as partial:
        (partial / SUMMARY_FILE).write_bytes(encode_summary(summary))
        for name, table in result_tables(backtest, curve).items():
            pq.write_table(
                table, partial / f"{name}.parquet", compression="zstd", store_schema=False
            )
    note(
        strategy=summary.strategy,
        run_id=summary.run_id,
        bars=summary.bars,
        trades=summary.n_trades,
        directory=str(directory),
    )
    return summary


# Tables.


def _same(text: str, n: int) -> pa.Array:
    return names(np.zeros(n, np.int8), (text,))


def _sides(side: NDArray[np.int64], up: str, down: str) -> pa.Array:
    return names(np.where(np.asarray(side) > 0, 0, 1), (up, down))


def result_tables(backtest: Backtest, curve: PortfolioCurve) -> dict[str, pa.Table]:
    """Build the tables of a result, by file name without ending."""
    sleeves = backtest.sleeves
    per_table = {
        "trades": [trades_table(s) for s in sleeves],
        "orders": [orders_table(backtest.run_id, s) for s in sleeves],
        "fills": [fills_table(backtest.run_id, s) for s in sleeves],
        "cash_events": [cash_events_table(backtest.run_id, s) for s in sleeves],
        "equity": [equity_table(s) for s in sleeves] + [_portfolio_table(backtest, curve)],
        "decisions": [decisions_table(s) for s in sleeves],
    }
    return {
        name: pa.concat_tables(tables, promote_options="default")
        for name, tables in per_table.items()
    }


def trades_table(s: SleeveResult) -> pa.Table:
    """Build the trades of a sleeve; prices are averages, profits in currency."""
    t = s.run.trades
    policy = s.linked.plan["policy"][0]
    lot, multiplier = float(policy["lot"]), float(policy["multiplier"])
    entry = t["entry_notional"] / np.where(t["entry_lots"] > 0.0, t["entry_lots"], np.nan)
    leave = t["exit_notional"] / np.where(t["exit_lots"] > 0.0, t["exit_lots"], np.nan)
    gross = t["side"] * (t["exit_notional"] - t["entry_notional"]) * lot * multiplier
    notional = t["entry_notional"] * lot * multiplier
    up = t["high"] / entry - 1.0
    down = t["low"] / entry - 1.0
    long = t["side"] > 0
    return table_of(
        {
            "symbol": _same(s.symbol, len(t)),
            "trade_id": np.arange(1, len(t) + 1, dtype=np.int64),
            "side": _sides(t["side"], "long", "short"),
            "entry_ts": times(t["entry_ts"]),
            "exit_ts": times(t["exit_ts"]),
            "entry_price": entry,
            "exit_price": leave,
            "quantity": t["largest_lots"] * lot,
            "n_fills": t["n_fills"],
            "bars_held": t["exit_bar"] - t["entry_bar"],
            "gross_profit": gross,
            "commission": t["commission"],
            "slippage": t["slippage"],
            "cash": t["cash"],
            "net_profit": t["net_profit"],
            "return": t["net_profit"] / np.where(notional > 0.0, notional, np.nan),
            "mae": np.minimum(np.where(long, down, -up), 0.0),
            "mfe": np.maximum(np.where(long, up, -down), 0.0),
            "exit_reason": names(t["reason"], REASONS),
            "sign_differs": sign_differs(s),
        }
    )


def sign_differs(s: SleeveResult) -> NDArray[np.bool_]:
    """Tell for each trade whether the optimistic path gives it the other sign."""
    other = {
        (int(t["entry_bar"]), int(t["side"])): float(t["net_profit"]) for t in s.optimistic.trades
    }
    result = np.zeros(len(s.run.trades), bool)
    for k, t in enumerate(s.run.trades):
        profit = other.get((int(t["entry_bar"]), int(t["side"])))
        if profit is not None:
            result[k] = (profit > 0.0) != (float(t["net_profit"]) > 0.0)
    return result


def _working_orders(s: SleeveResult) -> NDArray[np.void]:
    """Return the orders that still work at the end, as rows of the order log."""
    policy = s.linked.plan["policy"][0]
    orders = s.run.state["orders"][0, : policy["n_orders"]]
    per_bracket = int(policy["slots_per_bracket"])
    working = np.flatnonzero(orders["state"] != FREE)
    rows = np.zeros(len(working), ORDER_LOG)
    for name in ORDER_LOG.names or ():
        if name in (orders.dtype.names or ()):
            rows[name] = orders[name][working]
    rows["bracket"] = working // per_bracket
    rows["slot"] = working % per_bracket
    rows["ended_ts"] = s.loaded.bars.close_ts[-1]
    rows["reason"] = END_OF_DATA
    return rows


def orders_table(run_id: str, s: SleeveResult) -> pa.Table:
    """Build the orders of a sleeve in the order in which they were sent."""
    rows = np.concatenate([s.run.order_log, _working_orders(s)])
    rows = rows[np.argsort(rows["sequence"], kind="stable")]
    policy = s.linked.plan["policy"][0]
    lot = float(policy["lot"])
    per_bracket = int(policy["slots_per_bracket"])
    filled = np.maximum(rows["filled_lots"], 1)
    ids = [
        client_order_id(
            run_id,
            s.symbol,
            int(r["created_ts"]),
            int(r["bracket"]) * per_bracket + int(r["slot"]),
            int(r["sequence"]),
        )
        for r in rows
    ]
    has_fill = rows["filled_lots"] > 0
    return table_of(
        {
            "symbol": _same(s.symbol, len(rows)),
            "client_order_id": texts(ids),
            "created_ts": times(rows["created_ts"]),
            "ended_ts": times(rows["ended_ts"]),
            "role": names(rows["role"], ROLES),
            "side": _sides(rows["side"], "buy", "sell"),
            "type": names(rows["type"], ORDER_TYPES),
            "time_in_force": names(rows["time_in_force"], TIMES_IN_FORCE),
            "quantity": rows["lots"] * lot,
            "filled_quantity": rows["filled_lots"] * lot,
            "average_price": np.where(has_fill, rows["filled_notional"] / filled, np.nan),
            "limit_price": rows["limit_price"],
            "stop_price": rows["stop_price"],
            "status": names(rows["state"], ORDER_STATES),
            "reason": names(rows["reason"], REASONS),
            "bracket": rows["bracket"],
            "rung": np.where(rows["role"] == 0, rows["slot"], -1),
            "n_replaced": rows["n_replaced"],
            "commission": rows["commission"],
            "sequence": rows["sequence"],
        }
    )


def fills_table(run_id: str, s: SleeveResult) -> pa.Table:
    """Build the fills of a sleeve in time order."""
    rows = s.run.fills
    lot = float(s.linked.plan["policy"][0]["lot"])
    orders = orders_table(run_id, s)
    by_sequence = dict(
        zip(orders["sequence"].to_pylist(), orders["client_order_id"].to_pylist(), strict=True)
    )
    return table_of(
        {
            "symbol": _same(s.symbol, len(rows)),
            "execution_id": texts(
                [execution_id(run_id, s.symbol, k + 1) for k in range(len(rows))]
            ),
            "client_order_id": texts([by_sequence[int(q)] for q in rows["sequence"]]),
            "ts": times(rows["ts"]),
            "side": _sides(rows["side"], "buy", "sell"),
            "role": names(rows["role"], ROLES),
            "quantity": rows["lots"] * lot,
            "price": rows["price"],
            "commission": rows["commission"],
            "slippage": rows["slippage"],
            "position_after": rows["lots_after"] * lot,
        }
    )


def cash_events_table(run_id: str, s: SleeveResult) -> pa.Table:
    """Build the dividends, borrow costs and split fractions of a sleeve."""
    rows = s.run.cash_events
    lot = float(s.linked.plan["policy"][0]["lot"])
    return table_of(
        {
            "symbol": _same(s.symbol, len(rows)),
            "event_id": texts([cash_event_id(run_id, s.symbol, k + 1) for k in range(len(rows))]),
            "ts": times(rows["ts"]),
            "kind": names(rows["kind"], CASH_EVENTS),
            "amount": rows["amount"],
            "quantity": rows["lots"] * lot,
            "rate": rows["rate"],
        }
    )


def _equity_columns(
    symbol: str,
    ts: NDArray[np.int64],
    session: NDArray[np.int64],
    equity: NDArray[np.float64],
    cash: NDArray[np.float64],
    position: NDArray[np.float64] | None,
    price: NDArray[np.float64] | None,
    start: float,
    buy_and_hold: NDArray[np.float64],
) -> pa.Table:
    n = len(ts)
    peak = np.maximum.accumulate(np.maximum(equity, start))
    return table_of(
        {
            "ts": times(ts),
            "symbol": _same(symbol, n),
            "session": dates(session),
            "equity": equity,
            "cash": cash,
            "position": nothing(n) if position is None else position,
            "price": nothing(n) if price is None else price,
            "drawdown": (peak - equity) / peak,
            "buy_and_hold": buy_and_hold,
        }
    )


def equity_table(s: SleeveResult) -> pa.Table:
    """Build a sleeve's equity, one row per traded bar."""
    first = s.loaded.i_start
    bars, record = s.loaded.bars, s.run.record
    lot = float(s.linked.plan["policy"][0]["lot"])
    return _equity_columns(
        s.symbol,
        bars.ts[first:],
        bars.session[first:],
        record.equity[first:],
        record.cash[first:],
        (record.lots[first:] * lot).astype(np.float64),
        bars.prices[3, first:],
        s.cash,
        s.buy_and_hold,
    )


def _portfolio_table(backtest: Backtest, curve: PortfolioCurve) -> pa.Table:
    return _equity_columns(
        PORTFOLIO,
        curve.ts,
        curve.session,
        curve.equity,
        curve.cash,
        None,
        None,
        backtest.request.cash,
        curve.buy_and_hold,
    )


def _truth(flags: NDArray[np.int8]) -> pa.Array:
    """Turn three-valued logic into nullable booleans; unknown is null."""
    return truths(flags == TRUE, flags != UNKNOWN)


def decisions_table(s: SleeveResult) -> pa.Table:
    """Build a sleeve's decision rows, one per traded bar (rule 15)."""
    first = s.loaded.i_start
    bars, record, feed, linked = s.loaded.bars, s.run.record, s.feed, s.linked
    n = bars.n_bars - first
    lot = float(linked.plan["policy"][0]["lot"])

    def asked(formula: Formula) -> Any:
        values = formula_values(linked.plan, formula, s.run, feed)
        return _truth(values[first:].astype(np.int8))

    columns: dict[str, Any] = {
        "ts": times(bars.ts[first:]),
        "symbol": _same(s.symbol, n),
        "close": bars.prices[3, first:],
        "position": record.lots[first:] * lot,
    }
    for k, name in enumerate(CONDITIONS):
        if name in linked.condition_rows:
            columns[name] = _truth(feed.flags[linked.condition_rows[name], first:])
        elif linked.plan["starts"][0, k + 1] > linked.plan["starts"][0, k]:
            columns[name] = asked(formula_of(linked.plan, k))
    for term in linked.terms:
        columns[term.text] = (
            _truth(feed.flags[term.row, first:]) if term.formula is None else asked(term.formula)
        )
    for indicator in linked.indicators:
        name = f"indicator: {indicator.name}"
        if indicator.is_flag:
            columns[name] = np.where(
                feed.flags[indicator.row, first:] == UNKNOWN,
                np.nan,
                feed.flags[indicator.row, first:] / 2.0,
            )
        else:
            columns[name] = feed.matrix[indicator.row, first:]
    columns["action"] = names(record.actions[first:], ACTIONS)
    columns["reason"] = names(record.reasons[first:], REASONS)
    return table_of(columns)


# Summary.


def _day(days: int) -> str:
    return str(np.datetime64(int(days), "D"))


def _session_ends(session: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.append(np.flatnonzero(np.diff(session)), len(session) - 1)


def summarise_backtest(backtest: Backtest, curve: PortfolioCurve) -> Summary:
    """Compute the summary of a backtest."""
    request, policy = backtest.request, backtest.bound.policy
    sleeves = backtest.sleeves
    ends = _session_ends(curve.session)
    equity, held, sessions = curve.equity[ends], curve.buy_and_hold[ends], curve.session[ends]
    figures = _figures(backtest, curve, equity, held)
    document = request.document
    years = statistics.by_year(
        equity,
        request.cash,
        sessions,
        buy_and_hold=held,
        annualisation=backtest.annualisation,
    )
    has_volume = all(s.has_volume for s in sleeves)
    participation = policy.max_participation
    return Summary(
        **figures,
        strategy=document.name,
        version_hash=backtest.version,
        data_fingerprint=backtest.fingerprint,
        engine_version=ENGINE_VERSION,
        run_id=backtest.run_id,
        description=document.description,
        instruments=[s.symbol for s in sleeves],
        currency=sleeves[0].loaded.bars.instrument.currency,
        timeframe=backtest.strategy.timeframe,
        start=_day(sessions[0]),
        end=_day(sessions[-1]),
        bars=sum(s.loaded.bars.n_bars - s.loaded.i_start for s in sleeves),
        annualisation=backtest.annualisation,
        benchmark="buy and hold",
        fill=policy.fill.value,
        sized_at=policy.sized_at.value,
        limit_fill="touch" if policy.touch else "through",
        close_at_end=policy.close_at_end,
        intrabar=policy.intrabar,
        has_volume=has_volume,
        max_participation=participation if has_volume and participation != np.inf else None,
        corporate_actions=any(needs_factors(s.loaded.bars) for s in sleeves),
        costs=_given(document, "costs"),
        risk=_given(document, "risk"),
        parameters=dict(backtest.bound.values),
        document=canonical(document).decode(),
        price_indicators=[x.name for x in sleeves[0].linked.indicators if x.is_price],
        notes=_notes(backtest, has_volume),
        per_instrument=[_instrument_figures(backtest, s) for s in sleeves],
        per_year=[
            msgspec.convert(
                {k: v for k, v in year.as_record().items() if k != "month"}, YearFigures
            )
            for year in years
        ],
    )


def _given(document: Any, name: str) -> dict[str, Any]:
    """Return the part of the document as plain values, without what is not set."""
    part = msgspec.to_builtins(getattr(document, name))
    return _without_empty(part) if isinstance(part, dict) else {}


def _without_empty(part: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in part.items():
        value = _without_empty(value) if isinstance(value, dict) else value
        if value not in (None, {}, 0, 0.0):
            kept[key] = value
    return kept


def _notes(backtest: Backtest, has_volume: bool) -> list[str]:
    policy = backtest.bound.policy
    notes = []
    if policy.fill.value == "same_close":
        notes.append(NOTE_SAME_CLOSE)
    if policy.sized_at.value == "fill":
        notes.append(NOTE_SIZED_AT_FILL)
    if not has_volume and policy.max_participation != np.inf:
        notes.append(NOTE_NO_VOLUME)
    if not any(len(s.run.trades) or s.run.header["lots"] for s in backtest.sleeves):
        notes.append(NOTE_NEVER_TRADED)
    for sleeve in backtest.sleeves:
        about = [one for one in sleeve.loaded.findings if one.name in LISTING_FINDINGS]
        notes += [finding.message for finding in about]
    return notes


def _none_if_undefined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _figures(
    backtest: Backtest,
    curve: PortfolioCurve,
    equity: NDArray[np.float64],
    held: NDArray[np.float64],
) -> dict[str, Any]:
    """Compute the portfolio's figures."""
    sleeves = backtest.sleeves
    cash = backtest.request.cash
    headers = np.concatenate([s.run.state["header"] for s in sleeves])
    depth, lowest = None, None
    if len(sleeves) > 1:
        depth = statistics.deepest_drawdown(curve.equity, curve.ts, cash).depth
        lowest = curve.lowest_cash(cash)
    n_bars = sum(s.loaded.bars.n_bars - s.loaded.i_start for s in sleeves)
    core = core_figures(
        sum_headers(headers), equity, cash, n_bars, backtest.annualisation, depth, lowest
    )
    optimistic = sum(float(s.optimistic.header["last_equity"]) for s in sleeves)
    return _extend(backtest, core, sleeves, curve.equity, curve.ts, equity, held, cash, optimistic)


def _instrument_figures(backtest: Backtest, s: SleeveResult) -> InstrumentFigures:
    first = s.loaded.i_start
    bars, record = s.loaded.bars, s.run.record
    ends = _session_ends(bars.session[first:])
    equity = record.equity[first:][ends]
    core = core_figures(s.run.header, equity, s.cash, bars.n_bars - first, backtest.annualisation)
    figures = _extend(
        backtest,
        core,
        (s,),
        record.equity[first:],
        bars.ts[first:],
        equity,
        s.buy_and_hold[ends],
        s.cash,
        float(s.optimistic.header["last_equity"]),
    )
    return InstrumentFigures(
        **figures,
        symbol=s.symbol,
        bars=bars.n_bars - first,
        start=_day(bars.session[first]),
        end=_day(bars.session[-1]),
    )


def _extend(
    backtest: Backtest,
    core: Any,
    sleeves: tuple[SleeveResult, ...],
    bar_equity: NDArray[np.float64],
    bar_ts: NDArray[np.int64],
    equity: NDArray[np.float64],
    held: NDArray[np.float64],
    cash: float,
    optimistic: float,
) -> dict[str, Any]:
    """Add the figures that need rows to the core figures."""
    deepest = statistics.deepest_drawdown(bar_equity, bar_ts, cash)
    earned = statistics.returns(equity, cash)
    alpha, beta = statistics.alpha_beta(
        earned, statistics.returns(held, cash), 0.0, backtest.annualisation
    )
    gains = np.concatenate([_trade_returns(s) for s in sleeves])
    record = core.as_record()
    record.update(
        starting_cash=cash,
        final_equity_optimistic=optimistic,
        max_drawdown_days=_none_if_undefined(deepest.days),
        n_open=sum(int(s.run.header["lots"] != 0) for s in sleeves),
        average_trade=float(gains.mean()) if len(gains) else None,
        best_trade=float(gains.max()) if len(gains) else None,
        worst_trade=float(gains.min()) if len(gains) else None,
        buy_and_hold_return=float(held[-1] / cash - 1.0),
        alpha=_none_if_undefined(alpha),
        beta=_none_if_undefined(beta),
    )
    names = set(Figures.__struct_fields__)
    return {name: value for name, value in record.items() if name in names}


def _trade_returns(s: SleeveResult) -> NDArray[np.float64]:
    policy = s.linked.plan["policy"][0]
    unit = float(policy["lot"]) * float(policy["multiplier"])
    t = s.run.trades
    return t["net_profit"] / np.where(t["entry_notional"] > 0.0, t["entry_notional"] * unit, np.nan)
