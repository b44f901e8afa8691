"""Rows of float32 as one value: compiled code adds or scales all labels of a pixel at once.

LLVM, the compiler behind numba, turns a plain loop over the few labels of a pixel into one
instruction per label. With the operations of this file it is one instruction per register, which
holds 4, 8 or 16 labels, and the dense CRF is up to three times as fast. The page
docs/explanation/vectors.md shows what was measured, how this file works and how to change it.

The first part says in NumPy what each operation means. Python itself runs that, and the tests
compare with it. The second part says the same in LLVM's instructions, for compiled code.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial, reduce
from itertools import accumulate
from math import factorial, log
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray

from weakseg.functional.compiled import compiled

Floats = NDArray[np.float32]
Rows = Any
"""an array [N] of rows, as `as_rows` makes it"""

_PER_E = np.float32(1 / log(2))
_SERIES = tuple(np.float32(log(2) ** degree / factorial(degree)) for degree in range(6, -1, -1))
_FIRST = _SERIES[0]
_SECOND = _SERIES[1]
_OTHERS = _SERIES[2:]


# Arrays of rows


def as_rows(array: NDArray[Any]) -> NDArray[np.void]:
    """The same memory [N,L] as N elements of a type that says how long a row is.

    Compiled code so knows L as a constant: `rows[n]["numbers"]` has that many numbers.
    """
    row = np.dtype([("numbers", array.dtype, (array.shape[1],))])
    return array.view(row)[:, 0]


def padded_width(numbers: int) -> int:
    """How long rows for so many numbers should be: whole registers, in few different lengths.

    Each length is compiled by itself, which takes seconds.
    """
    for width in (4, 8, 16, 24):
        if numbers <= width:
            return width
    return -(-numbers // 16) * 16


def aligned_zeros(length: int, width: int) -> Floats:
    """Zeros float32 [length,width] that begin where a line of the processor's cache does.

    A row of up to 16 numbers then lies in one line, and not across two.
    """
    numbers = aligned(length, width)
    numbers[:] = 0
    return numbers


def aligned(length: int, width: int) -> Floats:
    """The same, with whatever numbers the memory has."""
    numbers = np.empty(length * width + 16, np.float32)
    first = -numbers.ctypes.data // 4 % 16
    return numbers[first : first + length * width].reshape(length, width)


# What the operations on rows mean, in NumPy: `+`, `-` and `*` mean what they mean for arrays


def load(rows: Rows, place: int) -> Any:
    """The row at a place."""
    return rows[place]["numbers"].copy()


def store(rows: Rows, place: int, row: Any) -> None:
    """Write a row to a place."""
    rows[place]["numbers"] = row


def fill(number: float, rows: Rows) -> Any:
    """A row as long as those of `rows`, with the same number everywhere."""
    return np.full(rows.dtype["numbers"].shape, number, np.float32)


def clip(row: Any, low: float, high: float) -> Any:
    """Numbers below `low` become `low`, those above `high` become `high`."""
    return np.clip(row, low, high)


def rint(row: Any) -> Any:
    """The nearest whole numbers."""
    return np.rint(row)


def power_of_two(row: Any) -> Any:
    """2 to the power of whole numbers from -126 to 127."""
    return np.ldexp(np.float32(1), row.astype(np.int32))


def total(row: Any) -> Any:
    """The sum of the numbers of a row."""
    return row.sum()


def highest(row: Any) -> Any:
    """The largest number of a row."""
    return row.max()


@compiled
def exp(row: Any, low: float, high: float) -> Any:
    """e to the power of each number, which is first clipped to low and high: -87 and 88 at most.

    That is 2 to a whole power, times 2 to the power of the rest. The rest is a half at most, so
    that the first terms of its Taylor series are enough.
    """
    power = clip(row, low, high) * _PER_E
    whole = rint(power)
    rest = power - whole
    series = rest * _FIRST + _SECOND
    for factor in _OTHERS:
        series = series * rest + factor
    return series * power_of_two(whole)


# The same operations as LLVM's instructions. A row is a sequence of vectors, each as long as the
# largest register or shorter: one of 4 numbers for up to 4 labels, one of 16 and one of 8 for 24.
# Where registers are shorter, LLVM takes several for one vector.

_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_FAST = ("fast",)  # sums may be reordered, and a product and a sum become one instruction


def _instruction(describe: Callable[..., Any]) -> Any:
    """A function that compiled code may call, and that is replaced by LLVM's instructions.

    `describe` gets the types of the arguments. It returns the signature, which is written
    result(arguments), and a function that writes the instructions for the arguments themselves.
    """
    return intrinsic(describe)


class Row(types.Type):
    """The type that numba gives to a row of so many float32."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"Row({width})")


def _row_of(rows: Any) -> Row:
    """The type of the elements of an array of rows."""
    return Row(rows.dtype.size // 4)


def _llvm_type(row: Row) -> ir.LiteralStructType:
    lanes = []
    rest = row.width
    for most in (16, 8, 4, 2, 1):
        lanes += [most] * (rest // most)
        rest %= most
    return ir.LiteralStructType([ir.VectorType(_FLOAT, count) for count in lanes])


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    """How numba keeps a row."""

    def __init__(self, manager: Any, row: Row) -> None:
        super().__init__(manager, row, _llvm_type(row))  # type: ignore[no-untyped-call]


def _split(builder: Any, row: Any) -> list[Any]:
    """The vectors of a row."""
    return [builder.extract_value(row, place) for place in range(len(row.type.elements))]


def _join(builder: Any, vectors: list[Any]) -> Any:
    """The row of these vectors."""
    kind = ir.LiteralStructType([vector.type for vector in vectors])
    row = ir.Constant(kind, ir.Undefined)
    for place, vector in enumerate(vectors):
        row = builder.insert_value(row, vector, place)
    return row


def _equal_vectors(builder: Any, row: Any) -> list[Any]:
    """The numbers of a row as vectors that are all as long as its shortest one."""
    vectors = _split(builder, row)
    shortest = min(vector.type.count for vector in vectors)
    return [
        _part(builder, vector, first, shortest)
        for vector in vectors
        for first in range(0, vector.type.count, shortest)
    ]


def _part(builder: Any, vector: Any, first: int, count: int) -> Any:
    """So many lanes of a vector."""
    lanes = ir.Constant(ir.VectorType(_INT, count), list(range(first, first + count)))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), lanes)


def _for_each_vector(instruction: Callable[..., Any]) -> Callable[..., Any]:
    """Apply `instruction(builder, *vectors)` to the first vectors of the rows, to the second ..."""

    def write(context: Any, builder: Any, signature: Any, rows: Any) -> Any:
        vectors = zip(*(_split(builder, row) for row in rows), strict=True)
        return _join(builder, [instruction(builder, *some) for some in vectors])

    return write


def _everywhere(vector: ir.VectorType, number: float) -> Any:
    """A constant in every lane of a vector."""
    return ir.Constant(vector, [number] * vector.count)


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call a function that LLVM has for vectors, such as llvm.rint.v8f32."""
    full_name = f"llvm.{name}.v{arguments[-1].type.count}f32"
    function = builder.module.globals.get(full_name)
    if function is None:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = ir.Function(builder.module, kind, full_name)
    return builder.call(function, arguments, fastmath=_FAST)


def _addresses(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Where the vectors of one row of an array lie, for arguments (rows, place, ...)."""
    rows, place = signature.args[:2]
    number = context.cast(builder, arguments[1], place, types.intp)
    data = context.make_array(rows)(context, builder, arguments[0]).data
    row = _llvm_type(_row_of(rows))
    first = builder.bitcast(builder.gep(data, [number]), _FLOAT.as_pointer())
    starts = accumulate((vector.count for vector in row.elements[:-1]), initial=0)
    return [
        builder.bitcast(builder.gep(first, [_INT(start)]), vector.as_pointer())
        for start, vector in zip(starts, row.elements, strict=True)
    ]


@_instruction
def _load(typing: Any, rows: Any, place: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        addresses = _addresses(context, builder, signature, arguments)
        return _join(builder, [builder.load(address, align=4) for address in addresses])

    return _row_of(rows)(rows, place), write


@_instruction
def _store(typing: Any, rows: Any, place: Any, row: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        addresses = _addresses(context, builder, signature, arguments)
        for vector, address in zip(_split(builder, arguments[2]), addresses, strict=True):
            builder.store(vector, address, align=4)
        return context.get_dummy_value()

    return types.void(rows, place, row), write


def _spread_out(row: Row) -> Callable[..., Any]:
    """Write a row with the first argument, a number, in every lane."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.cast(builder, arguments[0], signature.args[0], types.float32)
        vectors = _llvm_type(row).elements
        undefined = ir.Constant(vectors[0], ir.Undefined)
        first = builder.insert_element(undefined, number, _INT(0))
        shuffles = [ir.Constant(ir.VectorType(_INT, one.count), [0] * one.count) for one in vectors]
        return _join(
            builder, [builder.shuffle_vector(first, undefined, lanes) for lanes in shuffles]
        )

    return write


@_instruction
def _fill(typing: Any, number: Any, rows: Any) -> Any:
    row = _row_of(rows)
    return row(number, rows), _spread_out(row)


@_instruction
def _fill_like(typing: Any, number: Any, row: Any) -> Any:
    return row(number, row), _spread_out(row)


@_instruction
def _add(typing: Any, left: Any, right: Any) -> Any:
    return left(left, right), _for_each_vector(
        lambda builder, one, other: builder.fadd(one, other, flags=_FAST)
    )


@_instruction
def _subtract(typing: Any, left: Any, right: Any) -> Any:
    return left(left, right), _for_each_vector(
        lambda builder, one, other: builder.fsub(one, other, flags=_FAST)
    )


@_instruction
def _multiply(typing: Any, left: Any, right: Any) -> Any:
    return left(left, right), _for_each_vector(
        lambda builder, one, other: builder.fmul(one, other, flags=_FAST)
    )


@_instruction
def _minimum(typing: Any, left: Any, right: Any) -> Any:
    return left(left, right), _for_each_vector(
        lambda builder, one, other: _call(builder, "minnum", one.type, one, other)
    )


@_instruction
def _maximum(typing: Any, left: Any, right: Any) -> Any:
    return left(left, right), _for_each_vector(
        lambda builder, one, other: _call(builder, "maxnum", one.type, one, other)
    )


@_instruction
def _rint(typing: Any, row: Any) -> Any:
    return row(row), _for_each_vector(
        lambda builder, vector: _call(builder, "rint", vector.type, vector)
    )


@_instruction
def _power_of_two(typing: Any, row: Any) -> Any:
    def power(builder: Any, vector: Any) -> Any:
        """The bits of a float32 from 23 on are the power of two, plus 127."""
        integers = ir.VectorType(_INT, vector.type.count)
        exponent = builder.add(builder.fptosi(vector, integers), _everywhere(integers, 127))
        return builder.bitcast(builder.shl(exponent, _everywhere(integers, 23)), vector.type)

    return row(row), _for_each_vector(power)


@_instruction
def _total(typing: Any, row: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _equal_vectors(builder, arguments[0])
        lanes = reduce(lambda one, other: builder.fadd(one, other, flags=_FAST), vectors)
        return _call(builder, "vector.reduce.fadd", _FLOAT, _FLOAT(0.0), lanes)

    return types.float32(row), write


@_instruction
def _highest(typing: Any, row: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = _equal_vectors(builder, arguments[0])
        lanes = reduce(lambda one, other: _call(builder, "maxnum", one.type, one, other), vectors)
        return _call(builder, "vector.reduce.fmax", _FLOAT, lanes)

    return types.float32(row), write


# What compiled code calls for the functions of the first part. `overload` takes a function of the
# types of the arguments, which returns the code for the arguments themselves. That is copied to
# where it is called, so that numba has no calls to compile and LLVM sees all of a loop at once.

_in_llvm = partial(overload, strict=False, inline="always")

_in_llvm(load)(lambda rows, place: lambda rows, place: _load(rows, place))
_in_llvm(store)(lambda rows, place, row: lambda rows, place, row: _store(rows, place, row))
_in_llvm(fill)(lambda number, rows: lambda number, rows: _fill(number, rows))
_in_llvm(rint)(lambda row: lambda row: _rint(row))
_in_llvm(power_of_two)(lambda row: lambda row: _power_of_two(row))
_in_llvm(total)(lambda row: lambda row: _total(row))
_in_llvm(highest)(lambda row: lambda row: _highest(row))


@_in_llvm(clip)
def _clip(row: Any, low: Any, high: Any) -> Any:
    return lambda row, low, high: _minimum(
        _maximum(row, _fill_like(low, row)), _fill_like(high, row)
    )


def _operator(sign: Callable[..., Any], instruction: Any) -> None:
    """Let compiled code call `instruction` for a row and a row, or for a row and a number."""

    @overload(sign, strict=False)
    def operation(left: Any, right: Any) -> Any:
        if isinstance(left, Row) and isinstance(right, Row):
            return lambda left, right: instruction(left, right)
        if isinstance(left, Row) and isinstance(right, types.Number):
            return lambda left, right: instruction(left, _fill_like(right, left))
        return None


_operator(operator.add, _add)
_operator(operator.iadd, _add)
_operator(operator.sub, _subtract)
_operator(operator.mul, _multiply)
