"""Long-running commands: how signals stop them, and the command line that resumes them."""

import shlex
import signal
import threading
from types import FrameType
from typing import Any

import click

from ncfm_hub.machine.memory import keep_freed_memory
from ncfm_hub.utils.launchers import is_alone

_ARGUMENTS, _GOING_ON = "ncfm_hub.arguments", "ncfm_hub.going_on"
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
# Removed from the command line that resumes, which gets its own flag.
_BEGINNINGS = ("--resume", "--restart")


class Stopped(KeyboardInterrupt):
    """A signal stopped the command; a KeyboardInterrupt, so that it passes wherever Ctrl-C does."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def keep_arguments(ctx: click.Context, arguments: list[str]) -> None:
    """Store the arguments after the program's name."""
    ctx.meta[_ARGUMENTS] = list(arguments)


def lasts(going_on: str, flag: str | None = None) -> None:
    """Make signals stop the current command with `Stopped`; `advice` then says how to resume it.

    going_on: what the same command line does when run again with `flag`
    """
    keep_freed_memory()
    ctx = click.get_current_context().find_root()
    ctx.meta[_GOING_ON] = (going_on, flag)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        before = signal.getsignal(number)
        if before is not signal.SIG_IGN:  # ignored under nohup
            signal.signal(number, _stop)
            ctx.call_on_close(lambda number=number, before=before: signal.signal(number, before))


def advice(ctx: click.Context) -> str | None:
    """Return how to resume the stopped command; None for a short command."""
    if _GOING_ON not in ctx.meta:
        return None
    (going_on, flag), given = ctx.meta[_GOING_ON], ctx.meta[_ARGUMENTS]
    arguments = _without_token(given)
    token = " (and the token in HF_TOKEN)" if arguments != given else ""
    launcher = "" if is_alone() else " (under the same launcher)"
    if flag is not None:
        arguments = [*(argument for argument in arguments if argument not in _BEGINNINGS), flag]
    return f"{going_on}{launcher}{token}: {shlex.join([ctx.info_name or 'ncfm-hub', *arguments])}"


def _without_token(arguments: list[str]) -> list[str]:
    return [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if "--token" not in (before, argument) and not argument.startswith("--token=")
    ]


def _stop(number: int, frame: FrameType | None) -> Any:
    """Raise `Stopped` once: a launcher sends several signals, and only a second Ctrl-C may cut off the last message."""
    for other in _SIGNALS:
        if signal.getsignal(other) is _stop:
            signal.signal(other, signal.SIG_DFL if other == signal.SIGINT else signal.SIG_IGN)
    raise Stopped(number)
