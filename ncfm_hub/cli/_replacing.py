"""Ask before something of the same name is replaced."""

from collections.abc import Callable
from typing import TypeVar

from ncfm_hub.cli._output import Output
from ncfm_hub.errors import ReplaceNeeded

T = TypeVar("T")


def replacing(call: Callable[[bool], T], out: Output, *, replace: bool, yes: bool) -> T:
    """Return `call(replace)`; if that would replace something, ask, and call it again with True if the answer is yes.

    yes: the answer, given beforehand
    Raises ReplaceNeeded if the answer is no, or there is no terminal.
    """
    try:
        return call(replace)
    except ReplaceNeeded as error:
        if yes:
            out.note(str(error))
        elif not out.allows(f"{error}. Replace it?"):
            raise
        return call(True)
