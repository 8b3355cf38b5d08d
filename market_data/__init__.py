"""Market data: the store of bars, their import, calendars, actions, the sample.

Owns how bars get into the data home, whole and checked, and how they come out
as `trading.bars.Bars` with their sessions. Owns no strategy, no order and no
connection to a venue. The way out (`load_bars`) imports numpy and pyarrow
only, because every backtest waits for it.
"""
