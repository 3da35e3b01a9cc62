"""Errors that a user can act on.

Each message is one line: what is wrong, where, what was expected and what to do. The command line prints it and exits
with status 1. Any other exception is a bug and keeps its traceback.
"""


class NcfmHubError(Exception):
    """Base class of all errors that a user can act on."""


class PipelineError(NcfmHubError):
    """A pipeline file, a defaults file or an override is invalid."""


class SourceError(NcfmHubError):
    """The source dataset cannot be found, read or interpreted."""


class PoolError(NcfmHubError):
    """An extractor pool is missing, incomplete or does not match the source."""


class CheckpointError(NcfmHubError):
    """A checkpoint does not match the current settings."""


class DeviceError(NcfmHubError):
    """The requested device is not there."""


class LaunchError(NcfmHubError):
    """A launcher requested several processes that did not start."""


class Damaged(NcfmHubError):
    """A file's content does not match its checksum; the message says why, and the caller adds the file's name."""


class DistilledError(NcfmHubError):
    """A folder or repository is not a distilled dataset in the documented format."""


class Diverged(NcfmHubError):
    """A student's weights became non-finite; a lower learning rate may help."""


class PublishError(NcfmHubError):
    """The Hub rejected a push, or returned different content when read back.

    again: whether retrying the same push can succeed; if not, the message says what to change
    """

    def __init__(self, message: str, *, again: bool = True):
        super().__init__(message)
        self.again = again


class ReplaceNeeded(PublishError):
    """A distilled dataset or pool of the same name is there, and would be replaced; ask, or pass `replace`."""

    def __init__(self, message: str):
        super().__init__(message, again=False)


class HubUnavailable(NcfmHubError):
    """A Hub could not be reached, or kept failing until the retries ran out."""


class HubUnreachable(HubUnavailable):
    """No connection to a Hub: no network, unknown host, or a proxy that blocks it."""


class MissingExtra(NcfmHubError):
    """An optional dependency is not installed; the message contains the install command."""

    def __init__(self, package: str, extra: str):
        super().__init__(f"{package} is not installed; run: pip install 'ncfm-hub[{extra}]'")


class NativeError(NcfmHubError):
    """Native kernels were called where they cannot be built."""
