"""Identifiers of orders and fills: pure functions, so that sending twice is harmless."""

from __future__ import annotations


def client_order_id(deployment: str, symbol: str, decided_ts: int, slot: int, sequence: int) -> str:
    """Return the id of an order.

    Parameters
    ----------
    deployment : str
        The deployment; a backtest's run id.
    decided_ts : int
        Time of the decision or fill that made the order, UTC nanoseconds.
    slot : int
        Place of the order in its sleeve.
    sequence : int
        Number of the order in its sleeve.
    """
    return f"{deployment}-{symbol}-{decided_ts // 1_000_000_000:x}-{slot}-{sequence}"


def execution_id(deployment: str, symbol: str, number: int) -> str:
    """Return the id of the sleeve's n-th fill in a backtest."""
    return f"{deployment}-{symbol}-x{number}"


def cash_event_id(deployment: str, symbol: str, number: int) -> str:
    """Return the id of the sleeve's n-th cash event in a backtest."""
    return f"{deployment}-{symbol}-c{number}"
