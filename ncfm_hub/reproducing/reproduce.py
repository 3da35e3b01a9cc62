"""`reproduce`: make a published dataset again and compare."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

from ncfm_hub.api import carry_out
from ncfm_hub.errors import DistilledError, LaunchError, NcfmHubError
from ncfm_hub.machine.processes import processes_asked
from ncfm_hub.planning.plan import Plan, plan
from ncfm_hub.planning.recorded import recorded_pipeline
from ncfm_hub.publishing.dataset.folders import check_root
from ncfm_hub.publishing.dataset.layout import PIPELINE
from ncfm_hub.publishing.dataset.loading import find_at
from ncfm_hub.publishing.dataset.place import SetPlace, finished_in
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results
from ncfm_hub.publishing.verifying.result import Check
from ncfm_hub.reproducing.accuracies import check_results_file
from ncfm_hub.reproducing.compare import compare_sets
from ncfm_hub.reproducing.result import Found, Reproduced, all_good, check_of, line
from ncfm_hub.reproducing.settling import (
    changed_settings,
    check_source,
    is_free,
    place_of_pool,
    refuse_other_ways,
    validated,
)
from ncfm_hub.utils.named import Named, path_of, text_of
from ncfm_hub.utils.progress import Progress


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` would do.

    target: folder or Hub repository, as named
    published: where the dataset lies
    checks: of recipe, source and pool
    plan: of the run; None if it cannot be made, and a check says why
    as_recorded: whether the settings are the recorded ones, those of evaluation and engine apart
    kept: whether the result stays in the plan's folder
    """

    target: str
    published: SetPlace
    checks: tuple[Check, ...]
    plan: Plan | None
    as_recorded: bool
    kept: bool


def reproduce(
    target: Named,
    name: str | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    output: Named | None = None,
    dataset: Named | None = None,
    pool: Named | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Reproduced:
    """Make a published dataset again, by its recipe on its source revision, and compare images and accuracies.

    The images must be the same bytes where versions, processor, threads, precision and pool are the recorded ones, and
    the device is a CPU. Elsewhere their distance is noted. Accuracies agree if their means differ by at most three
    standard errors of the difference.

    target: folder or Hub repository; `owner/repository/ipc10` and `folder/ipc10` name one of several datasets, and a
        repository may end in `@REV`, a branch, tag or commit
    name: which of several; default: the one that the card marks as default
    overrides: settings by dotted key that are not to be as recorded; unless they are of the sections `evaluation` and
        `engine`, images are compared as a distance only
    output: folder to keep what is made in; the run of an earlier call that was stopped there is continued. Default: a
        temporary folder, which is removed
    dataset: folder with the source, for one that was a local folder; must have the recorded fingerprint
    pool: folder or Hub repository of the recorded pool, where it was given and not trained by the recipe; "none" to
        train one that was published
    token, progress: as for `distill`
    Returns one entry per check; `ok` says whether the dataset was reproduced.
    Raises DistilledError if there is no such dataset, or no recipe that makes it.
    """
    planned = plan_reproduction(
        target, name, overrides=overrides, output=output, dataset=dataset, pool=pool, token=token
    )
    return carry_out_again(planned, token=token, progress=progress)


def plan_reproduction(
    target: Named,
    name: str | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    output: Named | None = None,
    dataset: Named | None = None,
    pool: Named | None = None,
    token: str | None = None,
) -> Reproduction:
    """Return what `reproduce` would do with the same arguments, without doing it."""
    published = find_at(target, name, token=token)
    record, described = published.folder / PIPELINE, read_pipeline(published.folder)
    there: dict[str, Any] = {"source.dataset": text_of(dataset), "source.revision": None} if dataset is not None else {}
    overrides = {**(overrides or {}), **there}
    recorded, asked = (recorded_pipeline(record, some).recipe for some in (there, overrides))
    refuse_other_ways(os.fspath(target), described)
    read_data(published.folder)  # what cannot be compared is found before the work
    check_results_file(read_results(published.folder))
    folder = _checked(path_of(output))
    changed = changed_settings(recorded, asked)
    as_recorded = all(map(is_free, changed))
    checks = [
        line(published.name, "recipe", lambda: _judge_recipe(changed, as_recorded)),
        line(published.name, "source", lambda: ("passed", check_source(described, recorded, token))),
    ]
    given, settled = text_of(pool), None
    if all_good(checks):
        place, check = _settle_pool(published.name, lambda: place_of_pool(described, recorded, given, changed, token))
        checks.append(check)
    if all_good(checks):
        settled = plan(
            record,
            overrides=overrides,
            output=folder,
            name=published.name,
            token=token,
            pool=place,
            validation=validated(described),
        )
    return Reproduction(os.fspath(target), published, tuple(checks), settled, as_recorded, output is not None)


def carry_out_again(planned: Reproduction, *, token: str | None = None, progress: Progress | None = None) -> Reproduced:
    """Run a planned reproduction: the second half of `reproduce`, for callers who inspect the plan first."""
    if planned.plan is None:
        return Reproduced(planned.target, planned.checks, None, {})
    with _folder_of(planned) as folder:
        run = carry_out(replaced(planned.plan, output=folder), token=token, resume=True, progress=progress)
        made = SetPlace(run.folder, run.name)
        found, differences = compare_sets(planned.published, made, as_recorded=planned.as_recorded)
    known = [check for check in planned.checks if check.name not in {one.name for one in found}]
    return Reproduced(planned.target, (*known, *found), folder if planned.kept else None, differences)


def _settle_pool(name: str | None, find: Callable[[], str | None]) -> tuple[str | None, Check]:
    """Return where the pool is, None for one of the cache or to be trained, and the check that says so."""
    try:
        place = find()
    except NcfmHubError as error:
        return None, check_of(name, "pool", "failed", str(error))
    return place, check_of(name, "pool", "passed", place or "from the cache, or trained by the recipe")


def _judge_recipe(changed: Mapping[str, tuple[Any, Any]], as_recorded: bool) -> Found:
    if not changed:
        return "passed", "every setting as recorded"
    said = ", ".join(f"{key} {was} -> {now}" for key, (was, now) in changed.items())
    return "noted", said if as_recorded else f"{said}; so images are compared as a distance only"


def _checked(output: Path | None) -> Path:
    """Return the folder to make the dataset in. Raises DistilledError for one that holds finished datasets."""
    if output is None:
        if processes_asked() > 1:
            raise LaunchError("several processes need a folder that all of them see; name one by --output")
        return Path(tempfile.gettempdir(), f"ncfm-hub-{secrets.token_hex(8)}")
    check_root(output)
    if held := finished_in(output):
        raise DistilledError(
            f"{str(output)!r} holds {held[0].name or 'a distilled dataset'} already; name a new folder by --output"
        )
    return output


@contextmanager
def _folder_of(planned: Reproduction) -> Iterator[Path]:
    assert planned.plan is not None
    folder = planned.plan.output
    if planned.kept:
        yield folder
        return
    folder.mkdir(0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
