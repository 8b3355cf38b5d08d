"""Formulas: conditions and prices that are worked out when the policy asks.

A small postfix machine over the bar's columns, literals and the position's
facts. Columns that need memory (indicators, `x[n]`) are computed before; here
is only arithmetic, comparison and logic, by the same functions that compute
whole columns.
"""

from __future__ import annotations

import numpy as np

from trading.addresses import address_nb, byte_at_nb, float_at_nb
from trading.compiling import inlined_kernel, inner_kernel
from trading.dtypes import FALSE, TRUE, UNKNOWN

# Operand loads.
(
    LITERAL,
    COLUMN,
    FLAG,
    POSITION,
    ENTRY_PRICE,
    BARS_IN_TRADE,
    UNREALIZED_RETURN,
) = range(7)
# Arithmetic, comparison and logic; numbered on so that columns share them.
(
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    NEGATE,
    ABSOLUTE,
    MINIMUM,
    MAXIMUM,
    LESS,
    LESS_EQUAL,
    GREATER,
    GREATER_EQUAL,
    EQUAL,
    NOT_EQUAL,
    AND,
    OR,
    NOT,
) = range(10, 27)


CLOSE_ROW = 3


@inlined_kernel
def set_column_nb(scratch, matrix, flags, i):
    """Let formulas read column i of the matrix and the flags."""
    scratch.column = address_nb(matrix) + i * matrix.strides[1]
    scratch.column_stride = matrix.strides[0]
    scratch.flags = address_nb(flags) + i * flags.strides[1]
    scratch.flags_stride = flags.strides[0]


@inlined_kernel
def column_nb(scratch, row):
    """Read the bar's value in a row of the matrix."""
    return float_at_nb(scratch.column + row * scratch.column_stride)


@inlined_kernel
def flag_nb(scratch, row):
    """Read the bar's value in a row of the flags."""
    return byte_at_nb(scratch.flags + row * scratch.flags_stride)


@inlined_kernel
def compare_nb(operation, a, b):
    """Compare two numbers in three-valued logic; NaN makes it unknown."""
    if np.isnan(a) or np.isnan(b):
        return UNKNOWN
    if operation == LESS:
        return TRUE if a < b else FALSE
    if operation == LESS_EQUAL:
        return TRUE if a <= b else FALSE
    if operation == GREATER:
        return TRUE if a > b else FALSE
    if operation == GREATER_EQUAL:
        return TRUE if a >= b else FALSE
    if operation == EQUAL:
        return TRUE if a == b else FALSE
    return TRUE if a != b else FALSE


@inlined_kernel
def arithmetic_nb(operation, a, b):
    """Apply a two-place arithmetic operation; NaN carries through."""
    if operation == ADD:
        return a + b
    if operation == SUBTRACT:
        return a - b
    if operation == MULTIPLY:
        return a * b
    if operation == DIVIDE:
        return a / b if b != 0.0 else np.nan
    if np.isnan(a) or np.isnan(b):
        return np.nan
    if operation == MINIMUM:
        return min(a, b)
    return max(a, b)


@inlined_kernel
def load_nb(operation, operand, plan, header, scratch):
    """Push one operand: a literal, a column's value or a fact of the position."""
    if operation == LITERAL:
        return plan.literals[operand]
    if operation == COLUMN:
        return column_nb(scratch, operand)
    if operation == FLAG:
        return float(flag_nb(scratch, operand))
    policy = plan.policy
    if operation == POSITION:
        return header.lots * policy.lot
    if header.lots == 0:
        return 0.0 if operation == BARS_IN_TRADE else np.nan
    if operation == ENTRY_PRICE:
        return header.average_entry
    if operation == BARS_IN_TRADE:
        return float(header.i_bar - header.entry_bar + 1)
    change = column_nb(scratch, CLOSE_ROW) / header.average_entry - 1.0
    return change if header.lots > 0 else -change


@inlined_kernel
def evaluate_nb(formula, plan, header, scratch):
    """Evaluate a formula at the bar that `set_column_nb` chose.

    Returns
    -------
    float
        The number, or 0, 1, 2 for a condition; NaN when the formula is absent.
    """
    # A constant would be a type of its own, and compile the machine once more.
    return run_code_nb(np.int64(formula), plan, header, scratch)


@inner_kernel
def run_code_nb(formula, plan, header, scratch):
    """Run a formula's instructions; see `evaluate_nb`."""
    stack = scratch.stack
    below = 0
    value = np.nan  # Top of the stack; the others are in memory.
    for pc in range(plan.starts[formula], plan.starts[formula + 1]):
        operation = plan.code[pc, 0]
        if operation < ADD:
            stack[below] = value
            below += 1
            value = load_nb(operation, plan.code[pc, 1], plan, header, scratch)
        elif operation == NEGATE:
            value = -value
        elif operation == ABSOLUTE:
            value = abs(value)
        elif operation == NOT:
            value = 2.0 - value
        else:
            below -= 1
            other = stack[below]
            if operation == AND:
                value = min(other, value)
            elif operation == OR:
                value = max(other, value)
            elif operation < LESS:
                value = arithmetic_nb(operation, other, value)
            else:
                value = float(compare_nb(operation, other, value))
    return value


@inlined_kernel
def has_formula_nb(plan, formula):
    """Tell whether the strategy has the formula."""
    return plan.starts[formula + 1] > plan.starts[formula]


@inlined_kernel
def condition_nb(which, plan, header, scratch):
    """Evaluate enter_long, exit_long, enter_short or exit_short.

    Returns
    -------
    int
        FALSE, UNKNOWN or TRUE; an absent condition is false.
    """
    row = plan.conditions[which]
    if row >= 0:
        return flag_nb(scratch, row)
    if has_formula_nb(plan, which):
        return int(evaluate_nb(which, plan, header, scratch))
    return FALSE
