"""Vector arithmetic (three float32) and value noise, compiled by Numba: one source for the CPU and for CUDA.

Vectors are tuples, so that the same functions run as CPU code and, called from a CUDA kernel, as device code. `@single`
compiles a function and makes every float literal in it a float32: Numba would compute in double precision otherwise.
"""

import ast
import inspect
import textwrap
from math import cos, sin, sqrt
from typing import Any

import numba
from numba import float32


def single(function: Any) -> Any:
    """Compile for CPU (and, when called from a CUDA kernel, for the GPU) with float32 literals."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))

    class Float32Literals(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.expr:
            if not isinstance(node.value, float):
                return node
            return ast.copy_location(ast.Call(ast.Name("float32", ast.Load()), [node], []), node)

    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    definition.returns = None
    for argument in definition.args.args:
        argument.annotation = None
    tree = ast.fix_missing_locations(Float32Literals().visit(tree))
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    namespace: dict[str, Any] = {}
    exec(compile(tree, function.__code__.co_filename, "exec"), function.__globals__, namespace)
    # _nrt=False: no reference counts, which are atomic and would cost as much as the geometry; nothing here allocates.
    options: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "nogil": True, "cache": True, "_nrt": False}
    return numba.njit(**options)(namespace[function.__name__])


# ---------------------------------------------------------------- vectors and noise


@single
def add(a, b):
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


@single
def sub(a, b):
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


@single
def mul(a, b):
    return (a[0] * b[0], a[1] * b[1], a[2] * b[2])


@single
def scale(a, s):
    return (a[0] * s, a[1] * s, a[2] * s)


@single
def along(origin, direction, t):
    return (origin[0] + direction[0] * t, origin[1] + direction[1] * t, origin[2] + direction[2] * t)


@single
def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@single
def cross(a, b):
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


@single
def unit(a):
    return scale(a, 1.0 / sqrt(dot(a, a) + 1e-20))


@single
def clamp(x, low, high):
    return min(max(x, low), high)


@single
def mix(a, b, t):
    return along(a, sub(b, a), t)


@single
def smoothstep(a, b, x):
    x = clamp((x - a) / (b - a), 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


@single
def cell(x):
    """The whole number at or below x (a conversion and a comparison: much quicker than a call of floor)."""
    i = int(x)
    return i - 1 if x < float32(i) else i


@single
def fraction(x):
    return x - float32(cell(x))


@single
def random2(i, j):
    """A fixed random number in [0, 1) for each whole (i, j): an integer hash."""
    x = ((i * 73856093) ^ (j * 19349663)) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x46CA68B5) & 0xFFFFFFFF
    return float32((x ^ (x >> 16)) & 0xFFFFFF) * 5.9604645e-08


@single
def noise(x, y):
    i, j = cell(x), cell(y)
    u, v = x - float32(i), y - float32(j)
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    a, b, c, d = random2(i, j), random2(i + 1, j), random2(i, j + 1), random2(i + 1, j + 1)
    return a + (b - a) * u + (c - a) * v + (a - b - c + d) * u * v


@single
def clouds(x, y):
    """Three octaves of noise."""
    return 0.55 * noise(x, y) + 0.28 * noise(2.1 * x + 9.0, 2.1 * y + 4.0) + 0.17 * noise(4.3 * x + 3.0, 4.3 * y + 8.0)


@single
def tilted(axis, radius, angle):
    """A direction near `axis`: `radius` is the tangent of the deviation."""
    side = unit(cross(axis, (0.31, 0.77, 0.55)))
    return unit(along(along(axis, side, radius * float32(cos(angle))), cross(side, axis), radius * float32(sin(angle))))
