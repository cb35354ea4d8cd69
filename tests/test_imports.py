"""Imports point one way: no circles, no layer that knows a higher one, no game in the library. All stays small."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.tiny import REPOSITORY

LAYERS = (
    {"compiler", "devices", "env", "metrics", "pytrees", "registry", "search", "settings", "status"},
    {"check", "env_spec", "record"},
    {"networks"},
    {"models", "optimizer"},
    {"replay", "self_play"},
    {"algorithms"},
    {"look", "program", "storage"},
    {"agent", "analysis", "evaluate", "export", "show"},
    {"engine", "play"},
    {"run"},
    {"__main__"},
)
"""Top-level names of jzero, each layer above those that it may import."""
KNOWN: dict[tuple[str, str], str] = {}
"""(importer, imported) modules that break the order, and why they may."""


def modules(folder: Path) -> dict[str, Path]:
    """Every module of a package by its full name."""
    paths = {path: path.relative_to(folder.parent).with_suffix("").parts for path in folder.rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in paths.items()}


def statements(tree: ast.AST, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports of a module; unless `lazy`, those alone that run when it is imported."""
    for node in ast.iter_child_nodes(tree):
        is_later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif lazy or not (is_later or is_for_types):
            yield from statements(node, lazy)


def imported(path: Path, known: dict[str, Path], lazy: bool = False) -> set[str]:
    """Full names of what a module imports; of `from package import name` the module of that name, if it is one."""
    found = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8")), lazy):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{path}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return found


JZERO = modules(REPOSITORY / "jzero")
GRAPH = {name: imported(path, JZERO) & JZERO.keys() for name, path in JZERO.items()}


def layer_of(module: str) -> int:
    (layer,) = [index for index, names in enumerate(LAYERS) if module.split(".")[1] in names]
    return layer


def test_no_module_imports_itself_by_way_of_others():
    graphlib.TopologicalSorter(GRAPH).prepare()  # raises a CycleError that lists the circle


def test_every_module_has_its_layer():
    named = [name for names in LAYERS for name in names]
    assert len(named) == len(set(named))
    assert {name.split(".")[1] for name in JZERO if name != "jzero"} <= set(named)


def test_no_layer_imports_a_higher_one():
    edges = {
        (name, other) for name, others in GRAPH.items() for other in others if "jzero" not in (name, other)
    }
    upward = {edge for edge in edges if layer_of(edge[1]) > layer_of(edge[0])}
    assert upward == KNOWN.keys()


@pytest.mark.parametrize(
    ("room", "others"), [("search", {"pytrees"}), ("check", {"env", "pytrees"}), ("env", {"pytrees"})]
)
def test_a_room_needs_nothing_else(room, others):
    inside = {name for name in JZERO if name.split(".")[1:2] == [room]}
    needed = {other for name in inside for other in imported(JZERO[name], JZERO, lazy=True) & JZERO.keys()}
    assert {other.split(".")[1] for other in needed - inside} <= others | {"pytrees"}


def test_the_package_itself_imports_nothing_when_it_is_imported():
    assert GRAPH["jzero"] == set()


def test_the_library_imports_no_game():
    for path in JZERO.values():
        names = {name.partition(".")[0] for name in imported(path, JZERO, lazy=True)}
        assert "jzero_envs" not in names, path


def test_games_import_the_protocol_and_the_registry_alone():
    games = modules(REPOSITORY / "envs" / "jzero_envs")
    assert games
    for path in games.values():
        names = {name for name in imported(path, JZERO, lazy=True) if name.partition(".")[0] == "jzero"}
        assert names <= {"jzero.env", "jzero.registry"}, path


@pytest.mark.parametrize("lazy", [False, True])
def test_the_reader_of_imports_tells_lazy_ones_from_others(tmp_path, lazy):
    (tmp_path / "sample.py").write_text(
        "import jzero.env\nfrom jzero import search\nif TYPE_CHECKING:\n    from jzero import agent\n"
        "class C:\n    from jzero.search.tree import Tree\n"
        "def f():\n    from jzero import check\ntry:\n    import jzero.models\nexcept ImportError:\n    pass\n"
    )
    now = {"jzero.env", "jzero.search", "jzero.search.tree", "jzero.models"}
    expected = now | {"jzero.agent", "jzero.check"} if lazy else now
    assert imported(tmp_path / "sample.py", JZERO, lazy) == expected


MCTX = {"muzero_policy", "stochastic_muzero_policy"}
"""Functions with the parameters of mctx's."""


def functions():
    """(name, annotations, number of parameters) of each function of the package."""
    for path in sorted((REPOSITORY / "jzero").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                given = node.args
                each = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                each = [one for one in each if one is not None]
                annotations = [*(one.annotation for one in each), node.returns]
                count = len([one for one in each if one.arg not in ("self", "cls")])
                yield node.name, [one for one in annotations if one is not None], count


def test_signatures_are_short_and_say_their_types():
    found = list(functions())
    assert {name for name, _, count in found if count > 12} == MCTX
    vague = [
        name
        for name, annotations, _ in found
        if any(getattr(part, "id", "") == "Any" for each in annotations for part in ast.walk(each))
    ]
    assert len(vague) <= 150


def test_files_are_small():
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in (REPOSITORY / "jzero").rglob("*.py")}
    assert len([path for path, count in lines.items() if count > 400]) <= 2
