"""A hub that the tests of one file share, people who use it, and runs small enough for two cores."""

from collections.abc import Iterator

import pytest

from ncfm_hub.localhub import User, running
from tests.conftest import LiveHub
from tests.e2e.people import MakePerson, person_maker

# Those whose datasets the pipelines name, and a neighbour of ada's.
OWNERS = ("ylecun", "zalando-datasets", "ufldl-stanford", "uoft-cs", "zh-plus", "frgfm", "ILSVRC", "bob")
WRITING, READING = "ada-may-write-0123456789", "ada-may-read-0123456789"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    """A live hub with ada (a writing and a reading token) and the owners of well-known datasets."""
    users = [User("ada", WRITING), User("ada", READING, "read"), *(User(name, f"token-of-{name}") for name in OWNERS)]
    root = tmp_path_factory.mktemp("town")
    with running(root, users=users, allow_faults=True) as live:
        where = {"HF_ENDPOINT": live.url}
        yield LiveHub(live, root, where | {"HF_TOKEN": WRITING}, where | {"HF_TOKEN": READING})


@pytest.fixture(scope="module")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> MakePerson:
    """somebody(defaults="", **settings): a Person with empty caches, `settings` in their environment."""
    return person_maker(tmp_path_factory)
