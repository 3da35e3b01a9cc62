"""All that a running hub consists of, in one place for the routes."""

import os
from pathlib import Path

from ncfm_hub.localhub.accounts import Accounts
from ncfm_hub.localhub.database import Database
from ncfm_hub.localhub.faults import Faults
from ncfm_hub.localhub.history import History
from ncfm_hub.localhub.objects import Objects
from ncfm_hub.localhub.repositories import Repositories


class Services:
    """Opens (or makes) the folder of a hub. Only one process can have it open."""

    def __init__(self, root: Path, allow_faults: bool = False):
        if not root.is_dir():
            root.mkdir(parents=True)
            os.chmod(root, 0o700)  # private repositories lie in it as plain files
        self.root = root.resolve()
        self.database = Database(self.root / "hub.db")
        self.objects = Objects(self.root)
        self.accounts = Accounts(self.database)
        self.history = History(self.database)
        self.repositories = Repositories(self.database, self.history)
        self.faults = Faults(allow_faults)

    def close(self) -> None:
        """Let another process have the folder."""
        self.database.close()
