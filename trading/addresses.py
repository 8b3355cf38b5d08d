"""Single values by their address.

An array passed by value is nine arguments to a compiled function, and the
decision asks a dozen functions about the same column. So a bar's column is
handed on as two addresses in the scratch record. Who stores an address keeps
the array alive for as long as it is used: the caller of `process_bar_nb` does.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def address_nb(typing_context, array):
    """Return the address of an array's first element."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), generate


@intrinsic
def float_at_nb(typing_context, address):
    """Load the float64 at an address."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.DoubleType().as_pointer())
        return builder.load(pointer)

    return types.float64(types.int64), generate


@intrinsic
def word_at_nb(typing_context, address):
    """Load eight bytes at an address, which need not be a multiple of eight."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        word = builder.load(pointer)
        word.align = 1
        return word

    return types.int64(types.int64), generate


@intrinsic
def reached_mask_nb(typing_context, low, high, below, above):
    """Tell of 16 bars which go down to a price or up to another.

    Parameters
    ----------
    low, high : int
        Addresses of the bars' lowest and highest prices.
    below, above : float

    Returns
    -------
    int
        Bit k for bar k.
    """

    def generate(context, builder, signature, arguments):
        lowest = _load_many(builder, arguments[0], ir.DoubleType(), 16)
        highest = _load_many(builder, arguments[1], ir.DoubleType(), 16)
        reached = builder.or_(
            builder.fcmp_ordered("<=", lowest, _repeat(builder, arguments[2], 16)),
            builder.fcmp_ordered(">=", highest, _repeat(builder, arguments[3], 16)),
        )
        return builder.zext(builder.bitcast(reached, ir.IntType(16)), ir.IntType(64))

    return types.int64(types.int64, types.int64, types.float64, types.float64), generate


@intrinsic
def equal_mask_nb(typing_context, address, value):
    """Tell of 32 int8 at an address which are equal to a value: bit k for the k-th."""

    def generate(context, builder, signature, arguments):
        found = _load_many(builder, arguments[0], ir.IntType(8), 32)
        wanted = _repeat(builder, builder.trunc(arguments[1], ir.IntType(8)), 32)
        equal = builder.icmp_signed("==", found, wanted)
        return builder.zext(builder.bitcast(equal, ir.IntType(32)), ir.IntType(64))

    return types.int64(types.int64, types.int64), generate


def _load_many(builder, address, element, n):
    pointer = builder.inttoptr(address, ir.VectorType(element, n).as_pointer())
    values = builder.load(pointer)
    values.align = 1 if element == ir.IntType(8) else 8
    return values


def _repeat(builder, value, n):
    vector = ir.VectorType(value.type, n)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    first = ir.Constant(ir.VectorType(ir.IntType(32), n), [0] * n)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), first)


@intrinsic
def n_trailing_zeros_nb(typing_context, word):
    """Count the zero bits below the lowest bit that is set."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


@intrinsic
def byte_at_nb(typing_context, address):
    """Load the int8 at an address."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        return builder.sext(builder.load(pointer), ir.IntType(64))

    return types.int64(types.int64), generate
