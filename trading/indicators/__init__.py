"""Indicators: incremental step kernels, their catalogue, and the long tail.

Owns the values of every indicator that an expression can name. A kernel is one
step function over a flat float64 state; its batch form is a loop over that step
in the same compiled function, so batch and live values are equal bit for bit.
What has no kernel is computed by TA-Lib or pandas-ta over a window of bars
(`trading.indicators.tail`). Does not own expressions (`trading.expressions`) or
the layout of a sleeve's state (`trading.linker`).

Importing this package or its catalogue imports neither numba nor an oracle.
"""
