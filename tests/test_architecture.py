"""The tree: who imports whom, and whose members are read. `lint-imports` holds the floors; the rest stands here."""

from __future__ import annotations

import ast
import importlib
import importlib.util
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
    """Return the names that a file defines: what it sets on self or cls, methods, functions, fields, globals."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def is_self(node):
    return ast.unparse(node) in ("self", "cls", "super()", "type(self)")


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in PYTHONS_OWN and name != "_core"


BY_NAME = {
    "getattr", "setattr", "hasattr", "delattr", "attrgetter", "__getattribute__", "__getattr__", "__setattr__",
    "__delattr__",
}  # fmt: skip


def strings_that_open(node):
    """Yield private names by which a call or a subscript reads or sets attributes."""
    dicts = ("vars(", ".__dict__")
    names = []
    if isinstance(node, ast.Call):
        function = ast.unparse(node.func)
        by_name = function.split(".")[-1] in BY_NAME
        if by_name or (isinstance(node.func, ast.Attribute) and any(part in function for part in dicts)):
            names = node.args
    elif any(part in ast.unparse(node.value) for part in dicts):
        names = [node.slice]
    yield from (name.value for name in names if isinstance(name, ast.Constant) and is_private(str(name.value)))


def foreign_doors(tree, room_names=frozenset()):
    """Yield what a file reads or sets of others that begins with an underscore, also by a string.

    A class may use what a base class of the same room (`room_names`) defines.
    """
    own = own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            if not (is_self(node.value) and node.attr in room_names) and ast.unparse(node.value) != "lamina":
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.lineno}: import {name.name}" for name in node.names if is_private(name.name))
        elif isinstance(node, (ast.Call, ast.Subscript)):
            found = (name for name in strings_that_open(node) if name not in own | room_names)
            yield from (f"{node.lineno}: {name!r}" for name in found)


def names_of_room(path):
    """Return the private names that the files of a source's room define."""
    room = path.parent if path.parent != ROOT else path
    return frozenset().union(*(own_names(tree) for _, tree in trees([room] if room == path else room.glob("*.py"))))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_reads_private_members_of_another_room(path):
    assert list(foreign_doors(ast.parse(path.read_text()), names_of_room(path))) == []


def test_tests_go_through_the_doors_too():
    files = sorted(Path(__file__).parent.rglob("*.py"))
    found = {str(path): doors for path, tree in trees(files) if (doors := list(foreign_doors(tree)))}
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "from a import _b", "x._c", "self._c", "x._c = 1", "x.y._c", "getattr(x, '_c')", "setattr(x, '_c', 1)",
        "vars(x)['_c']", "x.__dict__['_c']", "vars(x).get('_c')", "hasattr(x, '_c')", "operator.attrgetter('_c')",
        "object.__setattr__(x, '_c', 1)", "object.__getattribute__(x, '_c')", "x.__getattribute__('_c')",
        "class A(B):\n    def f(self):\n        return getattr(self, '_c')\n", "self.__dict__['_c']",
    ],
)  # fmt: skip
def test_the_check_of_doors_finds(line):
    assert len(list(foreign_doors(ast.parse(line)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    def f(self, x):\n        self._c = x\n        return x._c\n", "_e = 1\ny._e\n",
        "z._replace(a=1)", "from lamina import _core", "x.__dict__", "'_ a sentence'",
        "class A:\n    _c: int\n    def f(self):\n        return getattr(self, '_c')\n",
    ],
)  # fmt: skip
def test_the_check_of_doors_lets_a_class_use_its_own(text):
    assert list(foreign_doors(ast.parse(text))) == []


BY_STRING = {"import_module", "__import__", "modules", "reload"}  # of importlib and sys


def hidden_imports(tree):
    """Yield imports of the package that import-linter does not see, or that do not stand at the top of the file."""
    for node in ast.walk(tree):
        text = ast.unparse(node)
        if isinstance(node, ast.Import) and any(name.name.split(".")[0] == "lamina" for name in node.names):
            yield f"{node.lineno}: {text}: it gives access to all rooms"
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield f"{node.lineno}: {text}: relative"
            elif (node.module or "").split(".")[0] == "lamina" and node.col_offset:
                yield f"{node.lineno}: {text}: late"
            elif node.module in ("importlib", "sys") and {name.name for name in node.names} & {"*", *BY_STRING}:
                yield f"{node.lineno}: {text}"
        elif (
            isinstance(node, ast.Import)
            and any(name.name == "importlib" or (name.name == "sys" and name.asname) for name in node.names)
        ) or text in ("importlib.import_module", "sys.modules", "__import__"):
            yield f"{node.lineno}: {text}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_stand_at_the_top_and_name_modules(path):
    """No import of the package inside of a function, for types alone, by a string, or through the package itself."""
    tree = ast.parse(path.read_text())
    allowed = {
        "__init__.py": "utils, wrappers: late",  # for type checkers: rooms that are loaded when they are first used
        "__main__.py": "import lamina: it gives",
        "_common/interpreter.py": "importlib",
        "_common/imports.py": "importlib",  # rooms that need libraries which take long to load
        "_common/threadpoolctl.py": "sys.modules",  # was threadpoolctl imported before lamina?
        "callbacks/base.py": "sys.modules",  # is this a notebook?
    }
    text = allowed.get(str(path.relative_to(ROOT)), "nothing")
    assert [found for found in hidden_imports(tree) if text not in found] == []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "lamina":
            for name in node.names:
                room = ROOT / name.name
                assert name.name == "_core" or room.is_dir() or room.with_suffix(".py").is_file(), (
                    f"{path}:{node.lineno}: from lamina import {name.name}: import it from its room"
                )


@pytest.mark.parametrize(
    "text",
    [
        "import lamina", "import lamina.models as m", "from . import x", "from ..a import b",
        "def f():\n    from lamina import x\n", "if TYPE_CHECKING:\n    from lamina.models import x\n",
        "importlib.import_module(name)", "from importlib import import_module as load", "sys.modules['lamina.x']",
        "__import__('lamina')", "import importlib as i", "import importlib", "sys.modules.get('lamina.x')",
        "from sys import modules", "import sys as s", "from importlib import *",
    ],
)  # fmt: skip
def test_the_check_of_imports_finds(text):
    assert len(list(hidden_imports(ast.parse(text)))) == 1


def test_lists_of_how_to_add_something_are_complete():
    """The cheap part of `tests/additions/add.py`, which also builds and tests what it adds."""
    path = Path(__file__).parent / "additions" / "add.py"
    spec = importlib.util.spec_from_file_location("add", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.check_lists()


def test_tests_lie_where_their_room_is():
    """A folder of tests has the name of a room; what has no folder is about the package as a whole."""
    here = Path(__file__).parent
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    folders = {path.name for path in here.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders - rooms == {"additions", "cpp", "fuzz", "peers", "programs"}
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
