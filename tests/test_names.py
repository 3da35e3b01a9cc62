"""A public name at the top of a module means one thing in the whole package."""

import ast

from tests.test_layout import modules

# Entry points, each called as `python -m` or by its script.
ALLOWED = {"main"}


def is_command(node: ast.stmt) -> bool:
    """A command of the command line is named after the library function that it calls."""
    return isinstance(node, ast.FunctionDef) and any("click.command" in ast.unparse(d) for d in node.decorator_list)


def test_no_public_name_is_defined_in_two_modules():
    homes: dict[str, set[str]] = {}
    for module, path in modules().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if not node.name.startswith("_") and not is_command(node):
                homes.setdefault(node.name, set()).add(module)
    shared = {name: sorted(found) for name, found in homes.items() if len(found) > 1 and name not in ALLOWED}
    assert len(homes) > 300  # the package was read
    assert shared == {}
