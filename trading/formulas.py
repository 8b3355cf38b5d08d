"""Formulas: conditions and prices that are worked out when the policy asks.

A small postfix machine over the bar's columns, literals and the position's
facts. Columns that need memory (indicators, `x[n]`) are computed before; here
is only arithmetic, comparison and logic, by the same functions that compute
whole columns.
"""

from __future__ import annotations

import numpy as np

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
def load_nb(operation, operand, plan, header, matrix, flags, i):
    """Push one operand: a literal, a column's value or a fact of the position."""
    if operation == LITERAL:
        return plan.literals[operand]
    if operation == COLUMN:
        return matrix[operand, i]
    if operation == FLAG:
        return float(flags[operand, i])
    policy = plan.policy
    if operation == POSITION:
        return header.lots * policy.lot
    if header.lots == 0:
        return 0.0 if operation == BARS_IN_TRADE else np.nan
    if operation == ENTRY_PRICE:
        return header.average_entry
    if operation == BARS_IN_TRADE:
        return float(header.i_bar - header.entry_bar + 1)
    change = matrix[3, i] / header.average_entry - 1.0
    return change if header.lots > 0 else -change


@inner_kernel
def evaluate_nb(formula, plan, header, matrix, flags, i, stack):
    """Evaluate a formula at bar i.

    Returns
    -------
    float
        The number, or 0, 1, 2 for a condition; NaN when the formula is absent.
    """
    top = -1
    for pc in range(plan.starts[formula], plan.starts[formula + 1]):
        operation = plan.code[pc, 0]
        if operation < ADD:
            top += 1
            stack[top] = load_nb(operation, plan.code[pc, 1], plan, header, matrix, flags, i)
        elif operation == NEGATE:
            stack[top] = -stack[top]
        elif operation == ABSOLUTE:
            stack[top] = abs(stack[top])
        elif operation == NOT:
            stack[top] = 2.0 - stack[top]
        else:
            b = stack[top]
            top -= 1
            a = stack[top]
            if operation == AND:
                stack[top] = min(a, b)
            elif operation == OR:
                stack[top] = max(a, b)
            elif operation < LESS:
                stack[top] = arithmetic_nb(operation, a, b)
            else:
                stack[top] = float(compare_nb(operation, a, b))
    if top < 0:
        return np.nan
    return stack[0]


@inlined_kernel
def has_formula_nb(plan, formula):
    """Tell whether the strategy has the formula."""
    return plan.starts[formula + 1] > plan.starts[formula]


@inner_kernel
def condition_nb(which, plan, header, matrix, flags, i, stack):
    """Evaluate enter_long, exit_long, enter_short or exit_short at bar i.

    Returns
    -------
    int
        FALSE, UNKNOWN or TRUE; an absent condition is false.
    """
    row = plan.conditions[which]
    if row >= 0:
        return int(flags[row, i])
    if has_formula_nb(plan, which):
        return int(evaluate_nb(which, plan, header, matrix, flags, i, stack))
    return FALSE
