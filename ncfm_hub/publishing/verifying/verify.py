"""`verify`: compare the parts of a published dataset with each other."""

import os
from collections.abc import Callable
from pathlib import Path

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.publishing.cards.escaping import plain
from ncfm_hub.publishing.dataset.loading import find, split_target
from ncfm_hub.publishing.dataset.place import WORK_FOLDER, SetPlace, places_in
from ncfm_hub.publishing.verifying.contents import Contents, NotRead, read_contents
from ncfm_hub.publishing.verifying.data import (
    check_balance,
    check_class_names,
    check_counts,
    check_hard_labels,
    check_schema,
    check_soft_labels,
)
from ncfm_hub.publishing.verifying.images import check_decoded_images, check_stored_images
from ncfm_hub.publishing.verifying.records import check_card, check_provenance, check_results
from ncfm_hub.publishing.verifying.result import Check, Verified
from ncfm_hub.utils.named import Named

_LONGEST = 400  # characters of a line, which may quote a stranger's files
CHECKS: dict[str, Callable[[Contents], str]] = {
    "schema": check_schema,
    "class names": check_class_names,
    "counts": check_counts,
    "class balance": check_balance,
    "labels": check_hard_labels,
    "soft labels": check_soft_labels,
    "stored images": check_stored_images,
    "decoded images": check_decoded_images,
    "provenance": check_provenance,
    "results": check_results,
    "card": check_card,
}


def verify(
    target: Named, name: str | None = None, *, revision: str | None = None, token: str | None = None
) -> Verified:
    """Check that the parts of distilled datasets agree: images, labels, provenance, results and card.

    No network is trained, and nothing is compared with the source.

    target: folder or Hub repository; `owner/repository/ipc10` and `folder/ipc10` name one of several
    name: which of several; default: all of them
    revision: branch, tag or commit of the repository
    token: Hub token; default: the one you are logged in with
    Returns one entry per dataset and check; `ok` says whether all passed. What a damaged file makes impossible to check
    is said so.
    Raises DistilledError if there is no such folder or repository.
    """
    checks: list[Check] = []
    for place in _places(target, name, revision, token):
        contents = read_contents(place)
        checks += [_made(place.name, title, check, contents) for title, check in CHECKS.items()]
    return Verified(os.fspath(target), tuple(checks))


def _places(target: Named, name: str | None, revision: str | None, token: str | None) -> list[SetPlace]:
    """Return the datasets that `target` names: one, or all in it that a run has finished."""
    first = find(target, name, revision=revision, token=token)
    folder = Path(target).expanduser()
    inside = folder.resolve() != first.root.resolve() if folder.is_dir() else split_target(os.fspath(target))[1]
    if name is not None or inside:
        return [first]
    names = [
        place.name for place in places_in(first.root) if place.finished or not (place.folder / WORK_FOLDER).exists()
    ]
    commit = revision if folder.is_dir() else first.root.name  # all at one, whatever is pushed meanwhile
    return [find(target, other, revision=commit, token=token) for other in names if other] or [first]


def _made(dataset: str | None, name: str, check: Callable[[Contents], str], contents: Contents) -> Check:
    try:
        return Check(dataset, name, "passed", plain(check(contents), _LONGEST))
    except NotRead as error:
        return Check(dataset, name, "not checked", plain(error, _LONGEST))
    except NcfmHubError as error:
        return Check(dataset, name, "failed", plain(error, _LONGEST))
    except Exception as error:  # values of any type and size may stand where a number is expected
        return Check(dataset, name, "failed", plain(f"not as documented: {type(error).__name__}: {error}", _LONGEST))
