"""Kernels for common strategies, compiled with the rarer features known to be off.

Most sweeps are of strategies that enter at market with one order and have at
most one profit target; at every fill they would ask about ladders, pyramids
and quotes. Their plans get a type of their own, in which those fields of the
policy are constants, and the same functions compile once more for that type:
loops over one order unroll, and what can't happen falls away. There is no
second engine to agree with the first; the general kernel runs any plan and
gives the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import typing
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    lower_setattr_generic,
    register_model,
)
from numpy.typing import NDArray

from trading.dtypes import GTC, LOWER_EQUITY, MARKET

# Kinds of plans.
ANY, WITHOUT_TARGET, WITH_TARGET = 0, 1, 2

# Fields of the policy that have these values in both special kinds.
_COMMON: dict[str, float] = {
    "multiplier": 1.0,
    "buy_row": 0,
    "sell_row": 0,
    "entry_type": MARKET,
    "time_in_force": GTC,
    "cancel_after_bars": 0,
    "same_close": 0,
    "n_rungs": 1,
    "n_brackets": 1,
    "pyramiding": 0,
    "reverse": 0,
    "flat_at_session_close": 0,
    "max_participation": 0.0,
    "path_choice": LOWER_EQUITY,
}
KNOWN: dict[int, dict[str, float]] = {
    WITHOUT_TARGET: {**_COMMON, "n_targets": 0, "slots_per_bracket": 3, "n_orders": 3},
    WITH_TARGET: {**_COMMON, "n_targets": 1, "slots_per_bracket": 4, "n_orders": 4},
}


def kind_of(plans: NDArray[np.void]) -> int:
    """Return the kind that all plans of a PLAN array are of; ANY holds for every plan."""
    policies = plans["policy"]
    for kind, known in KNOWN.items():
        if all((policies[name] == value).all() for name, value in known.items()):
            return kind
    return ANY


class KnownRecord(types.Type):
    """Type of a record of which some fields are constants.

    Parameters
    ----------
    name : str
        Of the type; one name must always mean the same constants.
    record : numba Record type
    values : mapping
        The fields that are constants.
    parts : mapping
        Fields that are records of this kind themselves, and their types.
    """

    def __init__(
        self, name: str, record: Any, values: dict[str, float], parts: dict[str, KnownRecord]
    ) -> None:
        self.record = record
        self.values = values
        self.parts = parts
        super().__init__(name=name)

    @property
    def members(self) -> Any:
        """Return the record's fields and their types."""
        return self.record.members

    @property
    def size(self) -> int:
        """Return the record's bytes."""
        return int(self.record.size)


register_model(KnownRecord)(models.RecordModel)


@infer_getattr
class _KnownAttribute(AttributeTemplate):
    key = KnownRecord

    def generic_resolve(self, record: KnownRecord, field: str) -> Any:
        if field in record.parts:
            return record.parts[field]
        return record.record.typeof(field) if field in record.record.fields else None


@lower_getattr_generic(KnownRecord)
def _load(context: Any, builder: Any, record: KnownRecord, value: Any, field: str) -> Any:
    if field in record.values:
        return context.get_constant(record.record.typeof(field), record.values[field])
    load = context.get_getattr(record.record, field)
    return load(context, builder, record.record, value, field)


@lower_setattr_generic(KnownRecord)
def _store(context: Any, builder: Any, signature: Any, arguments: Any, field: str) -> Any:
    record, value = signature.args
    store = context.get_setattr(field, typing.signature(types.void, record.record, value))
    return store(builder, arguments)


class Kind(types.Opaque):
    """Type of a value that says nothing but the kind of plans a kernel is compiled for."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(name=f"Kind{number}")


register_model(Kind)(models.OpaqueModel)


@intrinsic(prefer_literal=True)
def kind_nb(typing_context, number):
    """Return the kind of a number that is written down where it is called."""

    def generate(context, builder, signature, arguments):
        return context.get_dummy_value()

    return Kind(number.literal_value)(number), generate


@intrinsic
def plan_as_nb(typing_context, kind, plan):
    """Return a plan as one of a kind."""
    as_kind = plan
    if kind.number in KNOWN:
        policy = plan.typeof("policy")
        parts = {"policy": KnownRecord(f"Policy{kind.number}", policy, KNOWN[kind.number], {})}
        as_kind = KnownRecord(f"Plan{kind.number}", plan, {}, parts)
    return as_kind(kind, plan), _second


@intrinsic
def journal_as_nb(typing_context, kind, journal):
    """Return a journal for a kind of plans: only the kernel for ANY keeps rows."""
    as_kind = journal
    if kind.number in KNOWN:
        as_kind = KnownRecord("SilentJournal", journal, {"keeps": 0}, {})
    return as_kind(kind, journal), _second


def _second(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return arguments[1]
