"""From a Python function to an object file for this CPU, and from there into memory.

Numba compiles the function, which takes about a second and is its only use: importing
it would add most of a second to every start. llvmlite, on which it is built, links the
object file within milliseconds.
"""

import ctypes
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np

_FREEDOMS = {"contract", "reassoc", "nsz"}
"""What the compiler may do with floats. None of these assumes that they are finite."""
_LINKED = {"memcpy", "memmove", "memset"}
"""The only functions outside of its own that the code may call."""
_RETURNED = 2
"""In Numba's convention the first two arguments are where a result and an error go."""

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
        import numba
        from numba import carray  # pyright: ignore[reportPrivateImportUsage]

        # Dividing by zero does not raise, as in NumPy.
        jit = numba.njit(error_model="numpy", fastmath=_FREEDOMS)
        entry: Any = jit(_entry(_jitted(function, jit), types, carray))
        entry.compile(tuple(_numba_types(types, numba.types)))
        (overload,) = entry.overloads.values()
        mangled = overload.fndesc.llvm_func_name
        text = entry.inspect_llvm(overload.signature.args)
        module = llvm.parse_assembly(_without_overlap(str(text), mangled))
        return _emit(module, mangled, name)
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
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *_c_types(types))(address)
    unused = [ctypes.addressof(_unused)] * _RETURNED
    return lambda *arguments: function(*unused, *arguments)


_unused = ctypes.c_uint64()


def _c_types(types: Sequence[ArgumentType]) -> Iterator[Any]:
    yield from _RETURNED * [ctypes.c_void_p]
    for each in types:
        if each.ndim:
            yield from (ctypes.c_void_p, *each.ndim * [ctypes.c_ssize_t])
        else:
            yield np.ctypeslib.as_ctypes_type(each.dtype)


def _numba_types(types: Sequence[ArgumentType], known: Any) -> Iterator[Any]:
    for each in types:
        number = getattr(known, each.dtype.name)
        if each.ndim:
            yield from (known.CPointer(number), *each.ndim * [known.intp])
        else:
            yield number


def _entry(
    function: Any, types: Sequence[ArgumentType], array_at: Any
) -> Callable[..., None]:
    """A function of numbers and addresses alone, which calls one of arrays."""
    given: list[str] = []
    passed: list[str] = []
    for i, each in enumerate(types):
        lengths = [f"n{i}_{axis}" for axis in range(each.ndim)]
        given += [f"a{i}", *lengths]
        shape = "".join(f"{length}, " for length in lengths)
        passed.append(f"array_at(a{i}, ({shape}))" if each.ndim else f"a{i}")
    source = f"def entry({', '.join(given)}):\n    function({', '.join(passed)})\n"
    names: dict[str, Any] = {"function": function, "array_at": array_at}
    exec(source, names)
    return names["entry"]


def _jitted(function: FunctionType, jit: Any) -> Any:
    """The function with all functions of its module that it calls, for Numba."""
    names = dict(function.__globals__)
    for name in function.__code__.co_names:
        called = names.get(name)
        if inspect.isfunction(called) and called.__module__ == function.__module__:
            names[name] = _jitted(called, jit)
    return jit(FunctionType(function.__code__, names, function.__name__))


def _without_overlap(text: str, mangled: str) -> str:
    """LLVM's text with a promise, without which few loops become vectors."""
    start = re.search(rf"^define [^\n]*@{re.escape(mangled)}\(", text, re.MULTILINE)
    if start is None:
        raise KernelError("Numba names its functions in an unknown way")
    end = text.index("{", start.end())
    given = re.sub(r"\bptr (?=[^,]*%arg\.a)", "ptr noalias ", text[start.end() : end])
    return text[: start.end()] + given + text[end:]


def _emit(module: Any, mangled: str, name: str) -> bytes:
    """Compile LLVM's module, reduced to one function and what it needs."""
    llvm = _llvm()
    for each in (*module.functions, *module.global_variables):
        if each.name == mangled:
            each.name = name
        elif not each.is_declaration:
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
