"""Map errors to one readable line and an exit code."""

import errno
import os
import re
import signal
import traceback
from typing import Any

import click

from ncfm_hub.cli._secrets import scrub
from ncfm_hub.cli._stopping import Stopped, advice, keep_arguments
from ncfm_hub.cli._suggestions import message
from ncfm_hub.errors import NcfmHubError
from ncfm_hub.utils.launchers import is_first_process

FAILED = 1
BY_SIGNAL = 128  # plus the signal's number, as in shells
_NO_SPACE = "No space left on device"


class SafeGroup(click.Group):
    """The root command: turns any error of a command into one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:  # Click prints it and exits 2
            text = scrub(message(error))
            if text != error.format_message():
                raise click.UsageError(text, error.ctx) from None
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (KeyboardInterrupt, Exception) as error:
            line, code = line_and_code(error, resume=advice(ctx))
            if os.environ.get("HF_DEBUG", "0") not in ("", "0"):
                click.echo(scrub(traceback.format_exc()), err=True)
            if not isinstance(error, KeyboardInterrupt) or is_first_process():  # a signal reaches all processes
                click.echo(f"Error: {scrub(line)}", err=True)
            ctx.exit(code)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        keep_arguments(ctx, args)
        return super().parse_args(ctx, args)


def line_and_code(error: BaseException, resume: str | None = None) -> tuple[str, int]:
    """Return (one line, exit code) for an error of a command."""
    after = f"; {resume}" if resume else ""
    if isinstance(error, NcfmHubError):
        return _one_line(error), FAILED
    if isinstance(error, KeyboardInterrupt):
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        what = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        return f"{what}{after}", BY_SIGNAL + number
    if _is_full_disk(error):
        name = getattr(error, "filename", None)
        return f"disk full{f' while writing {name}' if name else ''}: free some space{after}", FAILED
    if _is_out_of_memory(error):
        return (
            "out of memory: use less with --set distillation.images_at_once=N, --set distillation.real_batch=N "
            f"or --resolution N ({_one_line(error)})",
            FAILED,
        )
    line = _hub_line(error) or _system_line(error)
    return line or f"{type(error).__name__}: {_one_line(error)} (HF_DEBUG=1 shows the traceback)", FAILED


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s*\n\s*", " ", str(error)).strip() or type(error).__name__


def _is_full_disk(error: BaseException) -> bool:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or _NO_SPACE in str(error)  # safetensors and torch preserve only the text


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error)
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text))


def _hub_line(error: BaseException) -> str | None:
    """Return a line for errors of huggingface_hub, datasets and their HTTP client; None for others."""
    from ncfm_hub.utils.hub_errors import cause_of, explain

    module = type(error).__module__.partition(".")[0]
    of_client = module.startswith(("huggingface_hub", "datasets", "httpx", "httpcore"))  # also httpx2 of later versions
    return explain(error) if of_client or cause_of(error) is not None else None


def _system_line(error: BaseException) -> str | None:
    if isinstance(error, ModuleNotFoundError):
        return f"{_one_line(error)}; install it, or install ncfm-hub again"
    if isinstance(error, OSError) and error.strerror:
        return f"{f'{error.filename}: ' if error.filename else ''}{error.strerror}"
    return None
