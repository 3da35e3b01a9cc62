"""Limit file sizes to what users announced."""

from ncfm_hub.localhub.replies import HubError


class Announced:
    """The largest file that each user has announced to this server, which limits the size of files.

    Xet blocks are named by hash and may be referenced repeatedly, so a few kilobytes can describe a file of any size.
    Only the announcement tells what size is intended.
    """

    def __init__(self) -> None:
        self._largest: dict[str, int] = {}

    def note(self, user: str, size: int) -> None:
        """Record that a file of `size` bytes was announced."""
        self._largest[user] = max(size, self._largest.get(user, 0))

    def check(self, user: str, size: int) -> None:
        """Raise HubError (413) for a file larger than any announced."""
        most = self._largest.get(user, 0)
        if size > most:
            raise HubError(413, f"The shard describes a file of {size:,} bytes; expected at most {most:,}")
