"""The version of an asset's code: a hash of its own source and of every module of ours that it leans on."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path

PACKAGE = "trasos_assets"
# Contracts enter by their own digest; the store and the wiring do not decide what a table holds.
IGNORED = ("trasos_assets.contracts", "trasos_assets.lake", "trasos_assets.settings", "trasos_assets.defs")


def _counts(module: str) -> bool:
    return module.split(".")[0] == PACKAGE and not module.startswith(IGNORED)


def _file_of(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(source: str) -> set[str]:
    """Modules of ours that a source imports, anywhere in it; ``from m import n`` counts as m and m.n."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {module for module in found if _counts(module)}


def _used_imports(function: Callable[..., object]) -> set[str]:
    """Modules of ours that one function uses: what it imports itself, and what its globals point at."""
    names = set(function.__code__.co_names)
    found = {name for name in names if _counts(name)}
    for name in names:
        target = inspect.unwrap(function).__globals__.get(name)
        module = target.__name__ if inspect.ismodule(target) else getattr(target, "__module__", None)
        if isinstance(module, str) and _counts(module):
            found.add(module)
    return found


def source_digest(*functions: Callable[..., object]) -> str:
    """Hash that changes when the functions, or any module of ours below them, change; 16 hex digits."""
    digest = hashlib.sha256()
    seen: set[str] = set()
    queue: set[str] = set()
    for function in functions:
        digest.update(inspect.getsource(function).encode())
        queue |= _used_imports(function)
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
