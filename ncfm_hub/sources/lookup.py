"""Ask the Hub for the user's name and a dataset's commit; errors as one readable line."""

from collections.abc import Iterator
from contextlib import contextmanager

from ncfm_hub.errors import SourceError
from ncfm_hub.utils.hub_errors import cause_of, explain, is_missing, status_of
from ncfm_hub.utils.waiting import is_unreachable, patient


class NotAvailable(SourceError):
    """The Hub lacks or hides a dataset, or cannot be reached; not raised for a Hub that is merely busy."""


def current_token(token: str | None) -> str | None:
    """Return the given token, else the one that the Hub client finds (HF_TOKEN, `hf auth login`)."""
    from huggingface_hub import get_token

    return token or get_token()


def account_of(token: str) -> str:
    """Return the account of a token. Raises SourceError if the token is rejected."""
    from huggingface_hub import HfApi

    with hub_errors("the account of the token"):
        return str(HfApi(token=token).whoami()["name"])


def pin(dataset: str, revision: str | None, token: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the current commit (40 hex digits) of `dataset` or of its `revision`, and its files.

    Raises SourceError if the dataset or revision is missing, private, or gated without access.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with hub_errors(f"dataset {dataset}", revision):
        info = api.dataset_info(dataset, revision=revision)
        if getattr(info, "gated", False):
            api.auth_check(dataset, repo_type="dataset")
    if not info.sha:
        raise SourceError(f"dataset {dataset}: the Hub returned no commit")
    return info.sha, tuple(sibling.rfilename for sibling in info.siblings or [])


@contextmanager
def quiet_clients() -> Iterator[None]:
    """Silence progress bars, log messages and usage counting of `datasets` and `huggingface_hub` inside the context."""
    import datasets
    import huggingface_hub.utils as hub

    bars = (datasets.is_progress_bar_enabled(), not hub.are_progress_bars_disabled())
    levels = (datasets.logging.get_verbosity(), hub.logging.get_verbosity())
    counts = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # a request to a further server, which takes seconds offline
    datasets.disable_progress_bars()
    hub.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    hub.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = counts
        datasets.logging.set_verbosity(levels[0])
        hub.logging.set_verbosity(levels[1])
        if bars[0]:
            datasets.enable_progress_bars()
        if bars[1]:
            hub.enable_progress_bars()


@contextmanager
def hub_errors(what: str, revision: str | None = None) -> Iterator[None]:
    """Limit how long to wait for the Hub, and turn its client's errors into a SourceError that names `what`."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    try:
        with patient():
            yield
    except SourceError:
        raise
    except Exception as error:
        cause = cause_of(error) or (error if isinstance(error, ConnectionError | TimeoutError) else None)
        if cause is None:
            raise
        absent = isinstance(cause, OfflineModeIsEnabled) or is_missing(cause) or is_unreachable(cause)
        instead = "" if status_of(cause) or isinstance(cause, HFValidationError) else "; or name a local folder"
        found = NotAvailable if absent else SourceError
        raise found(f"{explain(cause, what, revision=revision)}{instead}") from error
