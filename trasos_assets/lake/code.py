"""The version of an asset's code: a hash of its own source and of every module of ours that it leans on."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import textwrap
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path

PACKAGE = "trasos_assets"
# A table's contract enters by its own digest; the store and the wiring do not decide what a table holds.
IGNORED = tuple(f"{PACKAGE}.{name}" for name in ("contracts", "lake", "settings", "places", "defs"))
# The landing format is no table's contract, but decides what is read of a line and which rules it breaks.
COUNTED = ("trasos_assets.contracts.landing",)


def _counts(module: str) -> bool:
    return module.split(".")[0] == PACKAGE and (module in COUNTED or not module.startswith(IGNORED))


def _file_of(module: str) -> Path | None:
    """A module's source, found without importing the packages above it: some take seconds to import."""
    package, *rest = module.split(".")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        base = Path(folder, *rest)
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return file
    return None


@cache
def _imports(source: str) -> frozenset[str]:
    """Modules of ours that a source imports, anywhere in it; ``from m import n`` counts as m and m.n."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(module for module in found if _counts(module))


def _names(code: types.CodeType) -> set[str]:
    """Global names, attributes and imports that a function uses, those of its inner functions too."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)


def _leans_on(function: Callable[..., object]) -> tuple[set[str], list[types.FunctionType]]:
    """Modules of ours that one function uses, and functions of its own module where that is not hashed whole."""
    try:
        modules = set(_imports(textwrap.dedent(inspect.getsource(function))))
    except SyntaxError:  # a lambda, cut out of the expression that it stands in
        modules = set()
    helpers = []
    plain = inspect.unwrap(function)
    for name in sorted(_names(plain.__code__)):
        target = plain.__globals__.get(name)
        module = target.__name__ if inspect.ismodule(target) else getattr(target, "__module__", None)
        if isinstance(module, str) and _counts(module):
            modules.add(module)
        elif inspect.isfunction(target) and module == plain.__module__:
            helpers.append(target)
    return modules, helpers


def source_digest(*functions: Callable[..., object]) -> str:
    """Hash that changes when the functions, or any module of ours below them, change; 16 hex digits.

    Of the module that a function stands in, the helpers that it calls count, not all of it.
    """
    digest = hashlib.sha256()
    seen: set[str] = set()
    queue: set[str] = set()
    waiting, hashed = list(functions), []
    while waiting:
        function = waiting.pop(0)
        if function in hashed:
            continue
        hashed.append(function)
        digest.update(inspect.getsource(function).encode())
        modules, helpers = _leans_on(function)
        queue |= modules
        waiting += helpers
    sources: dict[str, bytes] = {}
    while queue:
        module = queue.pop()
        if module in seen:
            continue
        seen.add(module)
        file = _file_of(module)
        if file is None:
            continue
        source = file.read_bytes()
        sources[module] = source
        queue |= _imports(source.decode()) - seen
    for module in sorted(sources):
        digest.update(module.encode() + b"\0" + sources[module])
    return digest.hexdigest()[:16]
