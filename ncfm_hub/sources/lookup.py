"""Ask the Hub for the user's name and a dataset's commit; errors as one readable line."""

from collections.abc import Iterator
from contextlib import contextmanager

from ncfm_hub.errors import HubUnavailable, SourceError
from ncfm_hub.utils.hub_client import cause_of, is_missing, status_of, unreachable
from ncfm_hub.utils.waiting import is_unreachable, patient


class NotAvailable(SourceError):
    """The Hub lacks or hides a dataset, or cannot be reached; not raised for a Hub that is merely busy."""


def current_token(token: str | None) -> str | None:
    """Return the given token, else the one that the Hub client finds (HF_TOKEN, `hf auth login`)."""
    from huggingface_hub import get_token

    return token or get_token()


def user_name(token: str) -> str:
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
        raise SourceError(f"dataset {dataset}: the Hub names no commit of it")
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
    except HFValidationError as error:
        raise SourceError(f"{what}: not a name that the Hub knows; expected owner/name") from error
    except SourceError:
        raise
    except Exception as error:
        cause = cause_of(error) or (error if isinstance(error, ConnectionError | TimeoutError) else None)
        if cause is None:
            raise
        absent = isinstance(cause, OfflineModeIsEnabled) or is_missing(cause) or is_unreachable(cause)
        found = NotAvailable if absent else SourceError
        raise found(_explain(cause, what, revision)) from error


def _explain(error: BaseException, what: str, revision: str | None) -> str:
    from huggingface_hub import constants, errors

    where = constants.ENDPOINT
    status = status_of(error)
    if status is None and not isinstance(error, errors.OfflineModeIsEnabled):
        said = str(error) if isinstance(error, HubUnavailable) else unreachable(error)
        return f"{'' if is_unreachable(error) else f'{what}: '}{said}, or name a local folder"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, so {what} cannot be looked up; unset it or name a local folder"
    if isinstance(error, errors.GatedRepoError):
        return f"{what} is gated: accept its terms on its page at {where}, then log in with `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{what} has no revision {revision!r} on {where}; name a branch, a tag or a commit"
    if "Invalid credentials" in str(error) or (status == 401 and not isinstance(error, errors.RepositoryNotFoundError)):
        return f"{what}: {where} refused the token; log in with `hf auth login`, or mend or unset HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        return f"{what} is not on {where}, or is private: check the name, or log in with `hf auth login`"
    if status == 403:
        return f"{what}: the token has no right to it; log in with `hf auth login` as a user who has"
    return f"{what}: {where} answered {status}; try again later"
