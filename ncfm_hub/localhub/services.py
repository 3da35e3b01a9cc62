"""The components of a running hub, as routes use them."""

from pathlib import Path

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.localhub.accounts import Accounts
from ncfm_hub.localhub.announced import Announced
from ncfm_hub.localhub.database import Database
from ncfm_hub.localhub.faults import Faults
from ncfm_hub.localhub.history import History
from ncfm_hub.localhub.objects import Objects
from ncfm_hub.localhub.pulls import Pulls
from ncfm_hub.localhub.repositories import Repositories
from ncfm_hub.localhub.token_files import TokenFiles


class Services:
    """Open (or create) the folder of a hub. Raises NcfmHubError if another process has it open."""

    def __init__(self, root: Path, allow_faults: bool = False):
        self.root = root.resolve()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # contains private repositories as plain files
            self.database = Database(self.root / "hub.db")  # first, since it locks out a second server
            self.objects = Objects(self.root)
        except OSError as error:
            raise NcfmHubError(f"{root} cannot be used as the folder of a local hub: {error}") from None
        self.accounts = Accounts(self.database)
        self.tokens = TokenFiles(self.root, self.accounts, self.objects)
        self.history = History(self.database)
        self.repositories = Repositories(self.database, self.history)
        self.pulls = Pulls(self.database, self.history)
        self.announced = Announced()
        self.faults = Faults(allow_faults)

    def close(self) -> None:
        """Release the folder for another process."""
        self.database.close()
