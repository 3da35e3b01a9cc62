"""The package's rooms: which there are, and that a module imports only from its own room and those below it."""

import ast
import functools
from pathlib import Path

import ncfm_hub

PACKAGE = Path(ncfm_hub.__file__).parent
# From the top down; rooms of one line do not import each other.
FLOORS = (
    ("__main__", "demo"),
    ("cli",),
    ("__init__",),
    ("reproducing",),
    ("api",),
    ("reporting",),
    ("stages",),
    ("evaluation",),
    ("planning",),
    ("distillation",),
    ("publishing",),
    ("extractors",),
    ("sources",),
    ("networks",),
    ("recipes",),
    ("machine", "localhub", "matching"),
    ("utils",),
    ("errors", "_version"),
)
LEVEL = {room: -depth for depth, rooms in enumerate(FLOORS) for room in rooms}
LOOSE = {"__init__", "__main__", "_version", "api", "errors", "stages"}
# What may be imported at all by rooms that must stay usable elsewhere.
ONLY = {"matching": set(), "localhub": {"utils", "errors", "_version"}}


def room_of(module: str) -> str:
    """`ncfm_hub.cli.push` -> `cli`; the package itself -> `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports() -> set[tuple[str, str]]:
    """(importing module, imported module), wherever in a file the import stands."""
    known = modules()
    pairs = set()
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative import"
                named = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in named:
                while name and name not in known:
                    name = name.rpartition(".")[0]
                if name and name != module:
                    pairs.add((module, name))
    return pairs


def test_no_module_is_loose_at_the_root():
    assert {path.stem for path in PACKAGE.glob("*.py")} <= LOOSE


def test_every_room_has_its_floor():
    rooms = {room_of(module) for module in modules()} | {"__init__"}
    assert rooms == set(LEVEL)


def test_no_import_runs_back_up():
    back_up = [
        f"{module} imports {name}"
        for module, name in sorted(imports())
        if room_of(module) != room_of(name) and LEVEL[room_of(name)] >= LEVEL[room_of(module)]
    ]
    assert back_up == []


def test_rooms_of_their_own_import_only_what_the_table_allows():
    found = {room: {room_of(name) for module, name in imports() if room_of(module) == room} - {room} for room in ONLY}
    assert all(found[room] <= allowed for room, allowed in ONLY.items()), found


def test_no_circle_of_modules():
    """Of imports at the top of a module: one inside a function may be there to break no circle, but to stay fast."""
    graph: dict[str, set[str]] = {}
    for module, name in imports():
        graph.setdefault(module, set()).add(name)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in done:
            return
        for name in sorted(graph.get(module, ())):
            visit(name, (*path, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())
