"""From a Python function to an object file for this CPU, and from there into memory.

Numba compiles the function, which takes about half a second and is its only use:
importing it would add most of a second to every start. llvmlite, on which it is built,
links the object file within milliseconds.
"""

import ctypes
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from types import FunctionType
from typing import Any

import numpy as np

_FREEDOMS = {"contract", "reassoc", "nsz"}
"""What the compiler may do with floats. None of these assumes that they are finite."""
_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",  # dividing by zero does not raise
    "fastmath": _FREEDOMS,
    # Nobody calls it from Python, and it allocates nothing, saving a third of the time.
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}
"""Numba's."""
_LINKED = {"memcpy", "memmove", "memset"}
"""The only functions outside of its own that the code may call."""

_engines: list[Any] = []
"""What owns the machine code in memory; it is never freed."""


class KernelError(Exception):
    """A kernel cannot be used; the message is a clause, to follow a colon."""


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """A number, or a contiguous array, such as ``int64`` and ``float32[:, :]``."""

    dtype: np.dtype[Any]
    ndim: int

    @classmethod
    def parse(cls, text: str) -> "ArgumentType":
        name, _, axes = text.partition("[")
        return cls(np.dtype(name), axes.count(":"))


@cache
def this_cpu() -> tuple[str, str]:
    """LLVM's name of this CPU, and its features.

    Raises:
        KernelError: llvmlite is missing or broken, or the CPU is too old.
    """
    llvm = _llvm()
    features = llvm.get_host_cpu_features()
    if llvm.get_process_triple().startswith("x86_64") and not features.get("avx2"):
        raise KernelError("this CPU has no AVX2")
    return llvm.get_host_cpu_name(), features.flatten()


def compile_object(
    function: FunctionType, types: Sequence[ArgumentType], name: str
) -> bytes:
    """Compile a function into an object file for this CPU that defines `name`.

    Raises:
        KernelError: Numba is missing or broken, or cannot compile it.
    """
    llvm = _llvm()
    try:
        jitted = _jitted(function)
        signature = tuple(_numba_types(types))
        jitted.compile(signature)
        mangled = jitted.overloads[signature].fndesc.llvm_func_name
        module = llvm.parse_assembly(str(jitted.inspect_llvm(signature)))
        expected = [str(each.type) for each in module.get_function(mangled).arguments]
        module.link_in(llvm.parse_assembly(_entry(types, name, mangled, expected)))
        return _emit(module, name)
    except KernelError:
        raise
    except Exception as exc:  # whatever a broken installation raises
        text = " ".join(str(exc).split())
        raise KernelError(f"Numba cannot compile {name} ({text[:200]})") from exc


def link(code: bytes, types: Sequence[ArgumentType], name: str) -> Callable[..., int]:
    """Load an object file; calls release the GIL.

    Returns:
        The function `name`. Arrays are given as an address and the length of each axis.

    Raises:
        KernelError: llvmlite cannot load it.
    """
    llvm = _llvm()
    try:
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        address = engine.get_function_address(name)
    except Exception as exc:
        raise KernelError(f"llvmlite cannot load {name} ({exc})") from exc
    if not address:
        raise KernelError(f"llvmlite cannot load {name} (it is not in the file)")
    _engines.append(engine)
    return ctypes.CFUNCTYPE(ctypes.c_int32, *_c_types(types))(address)


def _c_types(types: Sequence[ArgumentType]) -> Iterator[Any]:
    for each in types:
        if each.ndim:
            yield from (ctypes.c_void_p, *each.ndim * [ctypes.c_ssize_t])
        else:
            yield np.ctypeslib.as_ctypes_type(each.dtype)


def _numba_types(types: Sequence[ArgumentType]) -> Iterator[Any]:
    from numba import types as known

    for each in types:
        number = getattr(known, each.dtype.name)
        yield known.Array(number, each.ndim, "C") if each.ndim else number


@cache
def _jitted(function: FunctionType) -> Any:
    """The function with all functions of its module that it calls, for Numba."""
    import numba

    names = dict(function.__globals__)
    for name in function.__code__.co_names:
        called = names.get(name)
        if inspect.isfunction(called) and called.__module__ == function.__module__:
            names[name] = _jitted(called)
    jit: Any = numba.njit(**_OPTIONS)
    return jit(FunctionType(function.__code__, names, function.__name__))


def _entry(
    types: Sequence[ArgumentType], name: str, mangled: str, expected: list[str]
) -> str:
    """LLVM's text of a function of addresses and lengths, which calls Numba's.

    It promises that arrays do not overlap, without which few loops become vectors.

    Args:
        types: of the arguments.
        name: of the function.
        mangled: name of Numba's.
        expected: types of what Numba's takes.
    """
    from llvmlite import ir  # pyright: ignore[reportMissingTypeStubs]

    size, address = ir.IntType(64), ir.PointerType()
    numbers = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
    given: list[Any] = []
    for each in types:
        number = numbers.get(each.dtype.name, ir.IntType(8 * each.dtype.itemsize))
        given += [address, *each.ndim * [size]] if each.ndim else [number]
    module, status = ir.Module(), ir.IntType(32)
    entry: Any = ir.Function(module, ir.FunctionType(status, given), name)
    builder: Any = ir.IRBuilder(entry.append_basic_block())
    # Numba puts a result and an error where the first two point to.
    passed: list[Any] = [builder.alloca(address) for _ in range(2)]
    arguments = iter(entry.args)
    for each in types:
        first = next(arguments)
        passed.append(first)
        if each.ndim:
            first.add_attribute("noalias")
            passed[-1:] = _array(
                each, first, list(islice(arguments, each.ndim)), builder
            )
    if [str(each.type) for each in passed] != expected:
        raise KernelError("Numba passes arguments in an unknown way")
    takes = ir.FunctionType(status, [each.type for each in passed])
    builder.ret(builder.call(ir.Function(module, takes, mangled), passed))
    return str(module)


def _array(kind: ArgumentType, first: Any, shape: list[Any], builder: Any) -> list[Any]:
    """What Numba takes for an array whose memory it does not own."""
    number, nobody = shape[0].type, first.type(None)
    step = itemsize = number(kind.dtype.itemsize)
    strides: list[Any] = []
    for length in reversed(shape):
        strides.insert(0, step)
        step = builder.mul(step, length)
    length = builder.udiv(step, itemsize)
    return [nobody, nobody, length, itemsize, first, *shape, *strides]


def _emit(module: Any, name: str) -> bytes:
    """Compile LLVM's module, reduced to one function and what it needs."""
    llvm = _llvm()
    for each in (*module.functions, *module.global_variables):
        if each.name != name and not each.is_declaration:
            each.linkage = "internal"
    machine = _machine()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    called = {f.name for f in module.functions if f.is_declaration}
    missing = {f for f in called if not f.startswith("llvm.")} - _LINKED
    if missing:
        raise KernelError(f"{name} would call {', '.join(sorted(missing))}")
    return machine.emit_object(module)


def _machine() -> Any:
    llvm = _llvm()
    name, features = this_cpu()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name,
        features=features,
        opt=3,
        reloc="pic",
        codemodel="jitdefault",
        jit=True,
    )


def _llvm() -> Any:
    try:
        import llvmlite.binding as llvm  # pyright: ignore[reportMissingTypeStubs]

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    except Exception as exc:  # whatever a broken installation raises
        raise KernelError(f"llvmlite cannot be loaded ({exc})") from exc
    return llvm
