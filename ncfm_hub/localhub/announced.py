"""How large the files are that users said they would send."""

from ncfm_hub.localhub.replies import HubError


class Announced:
    """The largest file that each user has announced to this server, which is as large as one may become.

    Blocks of a Xet upload are named by hash and may be referred to again and again, so that a few kilobytes describe a
    file of any size. What a client says beforehand is the only measure of what is meant.
    """

    def __init__(self) -> None:
        self._largest: dict[str, int] = {}

    def note(self, user: str, size: int) -> None:
        """Somebody is going to send a file of `size` bytes."""
        self._largest[user] = max(size, self._largest.get(user, 0))

    def check(self, user: str, size: int) -> None:
        """Raise HubError (413) for a file larger than any that was announced."""
        most = self._largest.get(user, 0)
        if size > most:
            raise HubError(413, f"The shard describes a file of {size:,} bytes; at most {most:,} were announced")
