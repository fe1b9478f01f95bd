"""The tree: who imports whom, and whose members are read. `lint-imports` holds the floors; the rest stands here."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import lamina

ROOT = Path(lamina.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
TESTED = [
    "callbacks", "constraints", "initializers", "layers", "losses", "metrics", "optimizers", "optimizers.schedules",
    "regularizers", "utils",
]  # fmt: skip
# The members of named tuples that Python itself begins with an underscore, and of its locks.
PYTHONS_OWN = {"_replace", "_asdict", "_fields", "_make", "_is_owned", "_exit"}


def trees(files):
    return [(path, ast.parse(path.read_text())) for path in files]


def own_names(tree):
    """Return the private names that a file defines: attributes that it sets, methods, functions, fields."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in PYTHONS_OWN and name != "_core"


def foreign_doors(tree):
    """Yield what a file reads of others that begins with an underscore; a subclass may use what its base gives it."""
    own = own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "lamina")):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.lineno}: import {name.name}" for name in node.names if is_private(name.name))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_reads_private_members_of_another_room(path):
    assert list(foreign_doors(ast.parse(path.read_text()))) == []


def test_tests_go_through_the_doors_too():
    files = [path for path in sorted(Path(__file__).parent.rglob("*.py")) if "peers" not in path.parts]
    found = {str(path): doors for path, tree in trees(files) if (doors := list(foreign_doors(tree)))}
    assert found == {}


def test_the_check_of_doors_finds_some():
    tree = ast.parse("from a import _b\nx._c\nself._d\n_e = 1\ny._e\nz._replace(a=1)\n")
    assert list(foreign_doors(tree)) == ["1: import _b", "2: x._c"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_stand_at_the_top_and_name_modules(path):
    """No import of the package inside of a function, for types alone, or by a string."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            if any(name.split(".")[0] == "lamina" for name in names):
                assert node.col_offset == 0, f"{path}:{node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            assert "lamina" not in ast.unparse(node), f"{path}:{node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "lamina":
            for name in node.names:
                room = ROOT / name.name
                assert name.name == "_core" or room.is_dir() or room.with_suffix(".py").is_file(), (
                    f"{path}:{node.lineno}: from lamina import {name.name}: import it from its room"
                )


def test_tests_lie_where_their_room_is():
    """A folder of tests has the name of a room; what has no folder is about the package as a whole."""
    here = Path(__file__).parent
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    folders = {path.name for path in here.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders - rooms == {"additions", "cpp", "fuzz", "peers"}
    public = {room for room in rooms if not room.startswith("_")}
    assert public <= folders
    for folder in folders - {"additions", "cpp", "fuzz", "peers"}:
        assert list((here / folder).glob("test_*.py")), folder


def names_used(tree, module):
    """Yield the names that a file reads of a module or imports from it, and the strings by which it may read others."""
    last = module.split(".")[-1]
    nodes = list(ast.walk(tree))
    by_string = any(
        isinstance(node, ast.Call)
        and ast.unparse(node.func) == "getattr"
        and ast.unparse(node.args[0]).split(".")[-1] == last
        for node in nodes
    )
    for node in nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == last:
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == f"lamina.{module}":
            yield from (name.name for name in node.names)
        elif by_string and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("module", TESTED)
def test_public_names_are_used_in_the_tests_of_their_room(module):
    held = importlib.import_module(f"lamina.{module}")
    public = {name for name in held.__all__ if not inspect.ismodule(getattr(held, name))}
    files = (Path(__file__).parent / module.split(".")[0]).rglob("test_*.py")
    used = {name for _, tree in trees(files) for name in names_used(tree, module)}
    assert len(public) > 4
    assert public - used == set()


def test_the_check_of_names_finds_what_is_used_of_the_module_alone():
    text = "from lamina.layers import A\nfrom lamina.losses import B\nlayers.C()\nlamina.layers.D\nlosses.E\nF = 'G'\n"
    assert set(names_used(ast.parse(text), "layers")) == {"A", "C", "D"}
    assert "G" in set(names_used(ast.parse(text + "getattr(layers, F)\n"), "layers"))
    assert "G" not in set(names_used(ast.parse(text + "getattr(losses, F)\n"), "layers"))
