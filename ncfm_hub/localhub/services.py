"""All that a running hub consists of, in one place for the routes."""

from pathlib import Path

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.localhub.accounts import Accounts
from ncfm_hub.localhub.announced import Announced
from ncfm_hub.localhub.database import Database
from ncfm_hub.localhub.faults import Faults
from ncfm_hub.localhub.history import History
from ncfm_hub.localhub.objects import Objects
from ncfm_hub.localhub.repositories import Repositories
from ncfm_hub.localhub.token_files import TokenFiles


class Services:
    """Opens (or makes) the folder of a hub. Only one process can have it open; NcfmHubError otherwise."""

    def __init__(self, root: Path, allow_faults: bool = False):
        self.root = root.resolve()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # private repositories lie in it as plain files
            self.database = Database(self.root / "hub.db")  # first of all: it keeps a second server out
            self.objects = Objects(self.root)
        except OSError as error:
            raise NcfmHubError(f"{root} cannot hold a local hub: {error}") from None
        self.accounts = Accounts(self.database)
        self.tokens = TokenFiles(self.root, self.accounts, self.objects)
        self.history = History(self.database)
        self.repositories = Repositories(self.database, self.history)
        self.announced = Announced()
        self.faults = Faults(allow_faults)

    def close(self) -> None:
        """Let another process have the folder."""
        self.database.close()
