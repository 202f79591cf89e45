"""The version of an asset's code changes with what decides its table, and with nothing else."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import ibis
import pytest

from trasos_assets.lake import code
from trasos_assets.lake.code import source_digest
from trasos_assets.trust import classify

FILES = {
    "__init__.py": "",
    "defs/__init__.py": "",
    "defs/assets.py": """
from shop import pure, unused
from shop.contracts import landing
from shop.deep import top
from shop.lake import store

def helper(x):
    return x + 1

def bystander(x):
    return x

def uses_module(x):
    return pure.double(x)

def uses_name(x):
    return top.begin(x)

def uses_inside(x):
    return [pure.double(y) for y in x] + list(map(lambda y: pure.double(y), x))

def imports_inside(x):
    from shop.deep import top as other
    return other.begin(x)

def uses_helper(x):
    return helper(x)

def uses_store(x):
    return store.read(x)

def uses_format(x):
    return landing.FIELDS + x

def uses_nothing(x):
    return x
""",
    "pure.py": "def double(x):\n    return 2 * x\n",
    "unused.py": "VALUE = 1\n",
    "deep/__init__.py": "",
    "deep/top.py": "from shop.deep.bottom import end\n\ndef begin(x):\n    return end(x)\n",
    "deep/bottom.py": "def end(x):\n    return x\n",
    "lake/__init__.py": "",
    "lake/store.py": "def read(x):\n    return x\n",
    "contracts/__init__.py": "",
    "contracts/landing.py": "FIELDS = 1\n",
}


class Package:
    """A package of its own on the path, read anew after every edit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shop"
        for name, text in FILES.items():
            self.edit(name, text)

    def edit(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def append(self, name: str) -> None:
        self.edit(name, (self.folder / name).read_text() + "\n# another line\n")

    def forget(self) -> None:
        for module in [m for m in sys.modules if m.split(".")[0] == "shop"]:
            del sys.modules[module]
        importlib.invalidate_caches()

    def digest(self, function: str) -> str:
        import linecache

        self.forget()
        linecache.clearcache()
        module: ModuleType = importlib.import_module("shop.defs.assets")
        chosen: Callable[..., object] = getattr(module, function)
        return source_digest(chosen)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.setattr(code, "PACKAGE", "shop")
    monkeypatch.setattr(code, "IGNORED", ("shop.contracts", "shop.lake", "shop.defs"))
    monkeypatch.setattr(code, "COUNTED", ("shop.contracts.landing",))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    made = Package(tmp_path)
    yield made
    made.forget()


@pytest.mark.parametrize(
    ("function", "file"),
    [
        ("uses_module", "pure.py"),
        ("uses_name", "deep/top.py"),
        ("uses_name", "deep/bottom.py"),
        ("uses_inside", "pure.py"),
        ("imports_inside", "deep/top.py"),
        ("imports_inside", "deep/bottom.py"),
        ("uses_format", "contracts/landing.py"),
    ],
)
def test_the_digest_changes_when_a_module_below_changes(package: Package, function: str, file: str) -> None:
    before = package.digest(function)
    assert package.digest(function) == before
    package.append(file)
    assert package.digest(function) != before


@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        ("uses_nothing", "def uses_nothing(x):\n    return x", "def uses_nothing(x):\n    return -x"),
        ("uses_helper", "return x + 1", "return x + 2"),
    ],
)
def test_the_digest_changes_with_the_function_and_the_helpers_beside_it(
    package: Package, function: str, old: str, new: str
) -> None:
    before = package.digest(function)
    package.edit("defs/assets.py", FILES["defs/assets.py"].replace(old, new))
    assert package.digest(function) != before


@pytest.mark.parametrize(
    ("function", "file"),
    [
        ("uses_module", "unused.py"),
        ("uses_module", "deep/top.py"),
        ("uses_store", "lake/store.py"),
        ("uses_nothing", "pure.py"),
        ("uses_nothing", "contracts/landing.py"),
    ],
)
def test_the_digest_stays_when_something_else_changes(package: Package, function: str, file: str) -> None:
    before = package.digest(function)
    package.append(file)
    assert package.digest(function) == before


def test_the_digest_stays_when_another_function_of_the_wiring_changes(package: Package) -> None:
    before = package.digest("uses_helper")
    package.edit("defs/assets.py", FILES["defs/assets.py"].replace("def bystander(x):\n    return x", "bystander = 1"))
    assert package.digest("uses_helper") == before


def _like_the_asset(raw: ibis.Table) -> ibis.Table:
    return classify.event_keys(raw, late_days=3, currency="GBP", first_day=None)


@pytest.mark.parametrize("module", ["trasos_assets.contracts.landing", "trasos_assets.trust.classify"])
def test_what_is_refused_is_decided_again_when_the_landing_rules_change(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = source_digest(_like_the_asset)
    find = code._file_of
    changed = tmp_path / "changed.py"
    changed.write_bytes((find(module) or changed).read_bytes() + b"# another rule")
    monkeypatch.setattr(code, "_file_of", lambda name: changed if name == module else find(name))
    assert source_digest(_like_the_asset) != before


def test_a_lambda_has_a_digest() -> None:
    assert source_digest(lambda raw: classify.event_states(raw, dedup_days=7))
