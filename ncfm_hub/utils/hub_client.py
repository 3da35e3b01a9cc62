"""Access to the Hub: the client and retries."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from ncfm_hub.utils.hub_errors import is_passing, response_headers, short
from ncfm_hub.utils.patience import FIRST_PAUSE
from ncfm_hub.utils.progress import Progress
from ncfm_hub.utils.waiting import patient

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RepoType = Literal["dataset", "model"]
T = TypeVar("T")

TRIES = 8  # together they take about as long as the limit in `ncfm_hub.utils.patience`
FIRST_WAIT = FIRST_PAUSE


def client(token: str | None) -> "HfApi":
    """Return a Hub client with `token`, else with the stored login."""
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="ncfm-hub")


@contextmanager
def without_bars() -> Iterator[None]:
    """Hide the Hub client's progress bars: the library is silent by default."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def with_retries(action: Callable[[], T], *, what: str, progress: Progress, tries: int | None = None) -> T:
    """Call `action` until it succeeds, with growing waits; raises its error if it is permanent or tries run out.

    `action` must be repeatable: after a dropped connection the Hub may have completed it.
    """
    tries = TRIES if tries is None else tries
    with patient(progress) as patience, ExitStack() as failing:
        for attempt in range(1, tries + 1):
            try:
                return action()
            except Exception as error:
                if attempt == 1:
                    failing.enter_context(patience.held())
                if attempt == tries or not is_passing(error):
                    raise
                if not patience.passes(attempt, f"{what}: {short(error)}", response_headers(error), FIRST_WAIT):
                    raise
    raise AssertionError("unreachable: tries is at least 1")
