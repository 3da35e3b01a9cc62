"""Read a pipeline or defaults file and validate its keys against the recipe schema.

Scalars follow YAML 1.2: `1e-3` is a number; `on`, `no`, `1:30` and `2026-01-01` are text. Aliases, tags and repeated
keys are rejected, so that a third-party file can neither run code nor expand in memory.

PyYAML alone follows YAML 1.1 (`1e-3` is text, `no` is false) and keeps the last of repeated keys without a word;
pydantic checks types, and sees only what is left after that.
"""

import difflib
import math
import re
import types
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ncfm_hub.errors import PipelineError
from ncfm_hub.recipes.schema import Recipe
from ncfm_hub.utils.mappings import UNFIT_SCALAR

SECTIONS: dict[str, type[BaseModel]] = {
    name: field.annotation for name, field in Recipe.model_fields.items() if isinstance(field.annotation, type)
}
_STRICT = ConfigDict(strict=True)
_ALIKE = 0.6  # difflib's default for a close match


class _Loader(yaml.SafeLoader):
    """Safe YAML with scalars as in 1.2, without aliases and repeated keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (yaml's own attribute)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _scalar(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


_scalar("bool", "true|True|TRUE|false|False|FALSE", "tTfF")
_scalar("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789")
_scalar("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


def parse_yaml(text: str, where: str) -> Any:
    """Parse a YAML document. Raises PipelineError naming `where` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = str(error.problem or "not valid YAML").splitlines()[0]
        raise PipelineError(f"{where}{line}: {problem}") from error
    except RecursionError:
        raise PipelineError(f"{where}: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, *UNFIT_SCALAR) as error:
        raise PipelineError(f"{where}: not valid YAML ({type(error).__name__})") from error


def read_file(path: Path) -> dict[str, Any]:
    """Read and validate a pipeline or defaults file: `description`, `presets` and sections, all optional."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise PipelineError(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: cannot be read as UTF-8 text ({type(error).__name__})") from error
    content = parse_yaml(text, str(path))
    content = {} if content is None else content
    _want_mapping(content, str(path), "the file")
    for key, value in content.items():
        if key == "description":
            if not isinstance(value, str):
                raise PipelineError(f"{path}: `description` is {found(value)}; expected text")
        elif key == "presets":
            _want_mapping(value, str(path), "`presets`")
            for name, sections in value.items():
                _want_mapping(sections, str(path), f"`presets.{name}`")
                for section, values in sections.items():
                    check_section(str(path), str(section), values, prefix=f"presets.{name}.")
        else:
            check_section(str(path), str(key), value, other_keys=("description", "presets"))
    return content


def check_section(where: str, name: str, values: Any, *, prefix: str = "", other_keys: Collection[str] = ()) -> None:
    """Raise PipelineError for an unknown section or key, or a value of the wrong type. `where` starts the message."""
    if name not in SECTIONS:
        valid = [*SECTIONS, *other_keys]
        raise PipelineError(f"{where}: unknown key `{prefix}{name}`{nearest(name, valid, 'valid keys')}")
    _want_mapping(values, where, f"`{prefix}{name}`")
    for key, value in values.items():
        fields = SECTIONS[name].model_fields
        if key not in fields:
            raise PipelineError(f"{where}: unknown key `{prefix}{name}.{key}`{nearest(str(key), fields, 'valid keys')}")
        check_value(f"{where}: `{prefix}{name}.{key}`", name, str(key), value)


def check_value(where: str, section: str, key: str, value: Any) -> None:
    """Raise PipelineError for a value that the field `section.key` rejects. `where` starts the message."""
    field = SECTIONS[section].model_fields[key]
    declared: Any = field.annotation
    for constraint in field.metadata:
        declared = Annotated[declared, constraint]
    if not _finite(value):
        raise PipelineError(f"{where} is {found(value)}; expected {expected(declared)}")
    try:
        TypeAdapter(declared, config=_STRICT).validate_python(value)
    except ValidationError as error:
        raise PipelineError(f"{where} is {found(value)}; expected {expected(declared)}") from error


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _want_mapping(value: Any, where: str, what: str) -> None:
    if not isinstance(value, Mapping):
        raise PipelineError(f"{where}: {what} is {found(value)}; expected keys with values")


def found(value: Any) -> str:
    """Describe a value and its YAML type, for example `'ten' (text)`."""
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    if value is None:
        return "nothing (null)"
    if isinstance(value, Mapping):
        return "a group of keys"
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{shown} ({kinds.get(type(value), type(value).__name__)})"


def expected(declared: Any) -> str:
    """Describe in words what a type of the schema accepts."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated:
        inner, *constraints = arguments
        said = [
            constraint.documentation for constraint in constraints if isinstance(constraint, annotated_types.DocInfo)
        ]
        if said:
            return said[0]
        return expected(inner) + "".join(_bounds(c) for c in constraints)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(expected(choice) for choice in arguments)
    if origin is list:
        return f"a list of ({expected(arguments[0])})"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "nothing (null)"}
    return words.get(declared, str(declared))


def _bounds(constraint: Any) -> str:
    if isinstance(constraint, annotated_types.Ge):
        return f" of at least {constraint.ge}"
    if isinstance(constraint, annotated_types.Gt):
        return f" above {constraint.gt}"
    if isinstance(constraint, annotated_types.Le):
        return f" and at most {constraint.le}"
    return "".join(_bounds(inner) for inner in getattr(constraint, "metadata", ()))  # pydantic's Field in an Annotated


def close(word: str, valid: Collection[str]) -> list[str]:
    """Return up to three of `valid` most similar to `word`, best first; empty if none is similar."""
    likeness = {choice: difflib.SequenceMatcher(None, word.lower(), choice.lower()).ratio() for choice in valid}
    least = max(_ALIKE, max(likeness.values(), default=0.0) - 0.1)
    return sorted((choice for choice in likeness if likeness[choice] >= least), key=lambda c: -likeness[c])[:3]


def nearest(word: str, valid: Collection[str], what: str) -> str:
    """Return the end of a message: `; did you mean x?`, or up to twenty valid names if none is similar."""
    if found := close(word, valid):
        return f"; did you mean {' or '.join(found)}?"
    listed = list(valid)[:20]
    return f"; {what}: {', '.join(listed)}{', ...' if len(valid) > len(listed) else ''}"
