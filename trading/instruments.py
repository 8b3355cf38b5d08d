"""Instruments: what is traded and in which units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable instrument.

    Attributes
    ----------
    symbol : str
        The venue's symbol while the instrument is valid.
    asset_class : str
        ``equity``, ``index``, ``fx``, ``crypto`` or ``future``.
    currency : str
        ISO 4217 code (or the coin) that prices are quoted in.
    multiplier : float
        Currency per one point of price for one unit of quantity.
    tick : float
        Smallest price step of an order; 0 means that none is stated and that
        order prices are not rounded.
    lot : float
        Smallest quantity step of an order, > 0.
    calendar : str
        exchange_calendars name (``XNYS``), ``24/7`` or ``FX`` (Sunday to Friday
        17:00 New York); empty when unknown, which intraday bars do not allow.
    shortable : bool
        Whether short entries are accepted.
    valid_from, valid_to : date or None
        First and last session on which the symbol means this instrument.
    """

    symbol: str
    asset_class: str = "equity"
    currency: str = "USD"
    multiplier: float = 1.0
    tick: float = 0.0
    lot: float = 1.0
    calendar: str = ""
    shortable: bool = True
    valid_from: date | None = None
    valid_to: date | None = None
