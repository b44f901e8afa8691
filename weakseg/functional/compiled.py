"""Rows of float32 as one value, for functions compiled by numba: one row holds what all labels have
at one pixel.

The compiler turns a plain loop over a few labels into one instruction per label, since it cannot
know that the rows read and the row written do not overlap. With `load`, `store`, `+`, `*`, `exp`
and `total` of whole rows it is one instruction per 8 or 16 labels. The processor's own instructions
are chosen when the function is compiled, on the machine that runs it.

numba keeps what it compiled until the file of the compiled function changes: after a change in this
file, delete `__pycache__`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import suppress
from functools import cache, reduce
from hashlib import sha256
from math import factorial, log
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray

Rows = Any  # what `rows` returns, in functions that are compiled
FLOAT = ir.FloatType()
INT = ir.IntType(32)
FAST = ("fast",)  # sums may be reordered and products fused

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    # A function that is called, and not inlined, is compiled twice: by itself and, differently, as
    # a copy within its caller. Which of both the linker takes depends on what has been loaded
    # before, so that a process that reads the
    # cache would round otherwise than the one that filled it. What is always inlined leaves no
    # choice.
    "forceinline": True,
}


class _Cache(FunctionCache):
    """What numba compiled, kept on the disk until any compiled file changes. By itself it looks at
    the file of the function only."""

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(signature, codegen), _sources())  # type: ignore[no-untyped-call]


@cache
def _sources(folder: Path = Path(__file__).parent) -> str:
    """A digest of everything that is compiled."""
    files = sorted(folder.rglob("*compiled.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def compiled(function: Callable[..., Any]) -> Any:
    """Compile when first called, keep the result on the disk, and let other threads run
    meanwhile."""
    kernel = njit(**OPTIONS)(function)
    # without a folder to keep it in, neither beside this file nor in the user's home, every process
    # compiles
    with suppress(RuntimeError):
        kernel._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return kernel


def instruction(generate: Callable[..., Any]) -> Any:
    """A function that compiled code may call, which is replaced by what `generate` writes for the
    types of its arguments."""
    return intrinsic(generate)


class Row(types.Type):
    """The numba type of a row of so many float32."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Row({lanes})")


def _parts(numbers: int) -> ir.ArrayType:
    """What a row is made of: equal vectors that processors have registers for."""
    width = next(width for width in (16, 8, 4, 2, 1) if numbers % width == 0)
    return ir.ArrayType(ir.VectorType(FLOAT, width), numbers // width)


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager: Any, row: Row) -> None:
        super().__init__(manager, row, _parts(row.lanes))  # type: ignore[no-untyped-call]


def _each(builder: Any, part: Callable[..., Any], *rows: Any) -> Any:
    """The row whose parts are part(those of the rows)."""
    result = ir.Constant(rows[0].type, ir.Undefined)
    for i in range(rows[0].type.count):
        result = builder.insert_value(
            result, part(*(builder.extract_value(row, i) for row in rows)), i
        )
    return result


def _constant(vector: ir.VectorType, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _everywhere(builder: Any, vector: ir.VectorType, number: Any) -> Any:
    """The number in every lane."""
    unknown = ir.Constant(vector, ir.Undefined)
    first = ir.Constant(ir.VectorType(INT, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(unknown, number, INT(0)), unknown, first)


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """One of LLVM's own functions on vectors."""
    vector = arguments[-1].type
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    full_name = f"llvm.{name}.v{vector.count}f32"
    function = cgutils.get_or_insert_function(builder.module, kind, full_name)  # type: ignore[no-untyped-call]
    return builder.call(function, arguments, fastmath=FAST)


def rows(array: NDArray[Any]) -> NDArray[np.void]:
    """The rows of an array [N,L] as N elements, so that compiled code knows how long they are."""
    return array.view(np.dtype([("lanes", array.dtype, (array.shape[1],))]))[:, 0]


def lanes(numbers: int) -> int:
    """How long rows of so many numbers should be, to fill the registers of processors."""
    return next((lanes for lanes in (4, 8, 16, 24) if lanes >= numbers), -(-numbers // 16) * 16)


def zeros(length: int, width: int) -> NDArray[np.float32]:
    """A float32 array [length,width] whose rows begin where the lines of the processor's caches do,
    as far as they can."""
    numbers = np.zeros(length * width + 16, np.float32)
    first = -numbers.ctypes.data // 4 % 16
    return numbers[first : first + length * width].reshape(length, width)


def _row(array: Any) -> Row:
    """The type of the elements of an array that `rows` made."""
    return Row(array.dtype.size // 4)


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = signature.args[0]
    place = context.cast(builder, arguments[1], signature.args[1], types.intp)
    data = context.make_array(array)(context, builder, arguments[0]).data
    return builder.bitcast(
        builder.gep(data, [place]), _parts(_row(array).lanes).element.as_pointer()
    )


@instruction
def load(typing: Any, array: Any, place: Any) -> Any:
    """One of the rows of an array."""
    row = _row(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        result = ir.Constant(_parts(row.lanes), ir.Undefined)
        for i in range(result.type.count):
            result = builder.insert_value(
                result, builder.load(builder.gep(address, [INT(i)]), align=4), i
            )
        return result

    return row(array, place), generate


@instruction
def store(typing: Any, array: Any, place: Any, row: Any) -> Any:
    """Write one of the rows of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        for i in range(arguments[2].type.count):
            builder.store(
                builder.extract_value(arguments[2], i), builder.gep(address, [INT(i)]), align=4
            )
        return context.get_dummy_value()

    return types.void(array, place, row), generate


@instruction
def fill(typing: Any, number: Any, array: Any) -> Any:
    """A row as long as those of the array, with the same number everywhere."""
    row = _row(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = context.cast(builder, arguments[0], signature.args[0], types.float32)
        unknown = ir.Constant(_parts(row.lanes), ir.Undefined)
        return _each(builder, lambda part: _everywhere(builder, part.type, value), unknown)

    return row(number, array), generate


@instruction
def _add(typing: Any, left: Any, right: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _each(builder, lambda one, other: builder.fadd(one, other, flags=FAST), *arguments)

    return left(left, right), generate


@instruction
def _scale(typing: Any, row: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = context.cast(builder, arguments[1], signature.args[1], types.float32)
        return _each(
            builder,
            lambda part: builder.fmul(part, _everywhere(builder, part.type, value), flags=FAST),
            arguments[0],
        )

    return row(row, number), generate


@overload(operator.add, strict=False)
@overload(operator.iadd, strict=False)
def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, Row) and isinstance(right, Row):
        return lambda left, right: _add(left, right)
    return None


@overload(operator.mul, strict=False)
def _times(left: Any, right: Any) -> Any:
    if isinstance(left, Row) and isinstance(right, types.Number):
        return lambda left, right: _scale(left, right)
    return None


def _exp(builder: Any, value: Any) -> Any:
    """2 to a whole power, put together from its bits, times 2 to the power of the rest, which is a
    half at most, by its Taylor series."""
    vector = value.type
    integers = ir.VectorType(INT, value.type.count)
    power = builder.fmul(value, _constant(vector, 1 / log(2)))
    whole = _call(builder, "rint", vector, power)
    rest = builder.fsub(power, whole)
    result = _constant(vector, log(2) ** 6 / factorial(6))
    for degree in range(5, -1, -1):
        result = builder.fadd(
            builder.fmul(result, rest, flags=FAST),
            _constant(vector, log(2) ** degree / factorial(degree)),
            flags=FAST,
        )
    exponent = builder.add(builder.fptosi(whole, integers), _constant(integers, 127))
    return builder.fmul(
        result, builder.bitcast(builder.shl(exponent, _constant(integers, 23)), vector)
    )


@instruction
def exp(typing: Any, row: Any, low: Any, high: Any) -> Any:
    """e to the power of each number, which is first brought between low and high (-87 and 88 at
    most)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lowest, highest = (
            context.cast(builder, arguments[i], signature.args[i], types.float32) for i in (1, 2)
        )

        def part(value: Any) -> Any:
            value = _call(
                builder, "maxnum", value.type, value, _everywhere(builder, value.type, lowest)
            )
            return _exp(
                builder,
                _call(
                    builder, "minnum", value.type, value, _everywhere(builder, value.type, highest)
                ),
            )

        return _each(builder, part, arguments[0])

    return row(row, low, high), generate


@instruction
def total(typing: Any, row: Any) -> Any:
    """Sum of a row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = [builder.extract_value(arguments[0], i) for i in range(arguments[0].type.count)]
        together = reduce(lambda one, other: builder.fadd(one, other, flags=FAST), parts)
        return _call(builder, "vector.reduce.fadd", FLOAT, FLOAT(0.0), together)

    return types.float32(row), generate


@instruction
def highest(typing: Any, row: Any) -> Any:
    """Maximum of a row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = [builder.extract_value(arguments[0], i) for i in range(arguments[0].type.count)]
        together = reduce(lambda one, other: _call(builder, "maxnum", one.type, one, other), parts)
        return _call(builder, "vector.reduce.fmax", FLOAT, together)

    return types.float32(row), generate
