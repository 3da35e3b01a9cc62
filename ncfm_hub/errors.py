"""The errors this library raises on purpose.

Each message is one readable line that names the thing, what was found, what was expected and what to do. The command
line prints that line and exits 1; anything else that escapes is a bug and keeps its traceback.
"""


class NcfmHubError(Exception):
    """Base of every error that a user can mend."""


class PipelineError(NcfmHubError):
    """A pipeline or defaults file, or an override of one of its values, is not usable."""


class SourceError(NcfmHubError):
    """The source dataset cannot be found, read or understood."""


class PoolError(NcfmHubError):
    """A pool of extractors is missing, incomplete or does not fit the source."""


class CheckpointError(NcfmHubError):
    """A checkpoint cannot be resumed under the present settings."""


class LaunchError(NcfmHubError):
    """A launcher asked for several processes, and they are not there."""


class Damaged(NcfmHubError):
    """A file is there and not as it was written; the message says why, whoever caught it names the file."""


class DistilledError(NcfmHubError):
    """A folder or repository is not a distilled dataset of the format in the documentation."""


class Diverged(NcfmHubError):
    """A student's weights did not stay finite; a lower rate may help."""


class PublishError(NcfmHubError):
    """The Hub did not take what was pushed, or gave back something else.

    again: whether the same push may go through another time; otherwise the message says what to change
    """

    def __init__(self, message: str, *, again: bool = True):
        super().__init__(message)
        self.again = again


class HubUnavailable(NcfmHubError):
    """A Hub cannot be reached, or kept failing for as long as it is waited for."""


class HubUnreachable(HubUnavailable):
    """There is no way to a Hub: no network, no such host, or a proxy that does not let through."""


class MissingExtra(NcfmHubError):
    """An optional dependency is not installed; the message holds the install line."""

    def __init__(self, package: str, extra: str):
        super().__init__(f"{package} is not installed; run: pip install 'ncfm-hub[{extra}]'")
