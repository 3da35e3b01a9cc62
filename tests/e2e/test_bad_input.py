"""Invalid input of every kind gives one line that names it and says what to do, and exit status 1."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

import pytest

from tests.conftest import LiveHub
from tests.e2e.conftest import READING
from tests.e2e.people import MakePerson, Person, error_line
from tests.e2e.seeding import Repo, push_to_hub, rows

_PAIR = ("cat", "dog")
_IMAGES = {"image": "image", "label": _PAIR}
_GOOD = {"train": rows(range(2), 4), "test": rows(range(2))}
REPOS = (
    Repo("ada/good", _IMAGES, _GOOD),
    Repo("bob/secret", _IMAGES, _GOOD, access="private"),
    Repo("bob/gated", _IMAGES, _GOOD, access="gated"),
    Repo("ada/words", {"text": "text", "label": _PAIR}, _GOOD),
    Repo("ada/unlabelled", {"image": "image"}, _GOOD),
    Repo("ada/pairs", {"left": "image", "right": "image", "label": _PAIR}, _GOOD),
    Repo("ada/ambiguous", {"image": "image", "fine": ("a", "b", "c"), "coarse": _PAIR}, _GOOD),
    Repo("ada/corrupt", _IMAGES, {**_GOOD, "train": [*rows(range(2), 2), (1, "corrupt"), (0, 9)]}),
    Repo("ada/nan", _IMAGES, {**_GOOD, "test": [(0, 1), (1, "nan")]}),
    Repo("ada/empty-class", {"image": "image", "label": (*_PAIR, "unicorn")}, _GOOD),
)
CLOSED = "http://127.0.0.1:1"  # nobody listens there


@dataclass(frozen=True)
class Case:
    """What somebody types, and what the line that answers must hold.

    extra: arguments after `distill --dataset DATASET --ipc 1`
    settings: environment on top of that of somebody who may write to the hub
    files: name -> content, in the current folder before
    """

    dataset: str
    extra: Sequence[str] = ()
    says: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    notes: bool = False  # whether progress stands before the line, as the images had to be read


LOGIN = "hf auth login"
# Otherwise a busy machine would say first how long that takes.
SHORT = ("--steps", "1", "--students", "1", "--set", "pool.epochs=1")
CASES = {
    "missing dataset": Case("ada/never-was", says=["ada/never-was", "{hub}", LOGIN]),
    "missing dataset without a token": Case("ada/never-was", says=["ada/never-was", LOGIN], settings={"HF_TOKEN": ""}),
    "private dataset": Case("bob/secret", says=["bob/secret", "private", LOGIN]),
    "gated dataset": Case("bob/gated", says=["bob/gated", "gated", "accept its terms", LOGIN]),
    "missing revision": Case("ada/good", ["--revision", "v9"], says=["ada/good", "revision 'v9'", "a tag or a commit"]),
    "no such name": Case("no-such-thing", says=["no-such-thing"]),
    "refused token": Case("ada/good", says=["refused the token", LOGIN], settings={"HF_TOKEN": "made-up"}),
    "no network": Case("ada/good", says=[CLOSED, "check the network"], settings={"HF_ENDPOINT": CLOSED}),
    "offline by choice": Case("ada/good", says=["HF_HUB_OFFLINE", "unset"], settings={"HF_HUB_OFFLINE": "1"}),
    "no image column": Case("ada/words", says=["text: string", "label: ClassLabel of 2", "--image-column"]),
    "several image columns": Case("ada/pairs", says=["left: Image", "right: Image", "--image-column"]),
    "no label column": Case("ada/unlabelled", says=["image: Image", "--label-column"]),
    "several label columns": Case("ada/ambiguous", says=["fine: ClassLabel of 3", "coarse:", "--label-column"]),
    "column misspelt": Case("ada/good", ["--label-column", "labl"], says=["labl", "did you mean label?"]),
    "corrupt image": Case("ada/corrupt", says=["ada/corrupt", "'train'", "row 4", "'dog'"], notes=True),
    "NaN": Case("ada/nan", says=["ada/nan", "'test'", "row 1", "'dog'", "NaN"], notes=True),
    "empty class": Case("ada/empty-class", says=["'train'", "'unicorn'", "--classes"], notes=True),
    "class misspelt": Case("ada/good", ["--classes", "cat,dgo"], says=["'dgo'", "did you mean dog?"]),
    "unknown section in a pipeline": Case(
        "mine.yaml",
        says=["mine.yaml", "`distilation`", "did you mean distillation?"],
        files={"mine.yaml": "source: {dataset: ada/good}\ndistilation: {steps: 3}\n"},
    ),
    "unknown key in a pipeline": Case(
        "mine.yaml",
        says=["mine.yaml", "`distillation.stepz`", "did you mean steps?"],
        files={"mine.yaml": "source: {dataset: ada/good}\ndistillation: {stepz: 3}\n"},
    ),
    "wrong type in a pipeline": Case(
        "mine.yaml",
        says=["mine.yaml", "`distillation.steps`", "'many' (text)", "a whole number"],
        files={"mine.yaml": "source: {dataset: ada/good}\ndistillation: {steps: many}\n"},
    ),
    "unknown key in one's defaults": Case(
        "ada/good",
        says=["defaults.yaml", "`pool.sise`", "did you mean size?"],
        settings={"NCFM_HUB_CONFIG": "defaults.yaml"},
        files={"defaults.yaml": "pool: {sise: 1}\n"},
    ),
    "unknown key by --set": Case("ada/good", ["--set", "evaluation.student=1"], says=["did you mean students?"]),
    "wrong type by --set": Case("ada/good", ["--set", "distillation.lr=fast"], says=["distillation.lr", "'fast'"]),
    "push without a token": Case(
        "ada/good", ["--push"], says=["needs a token", LOGIN, "HF_TOKEN"], settings={"HF_TOKEN": ""}
    ),
    "push with a reading token": Case(
        "ada/good", ["--push"], says=["may only read", "role 'write'"], settings={"HF_TOKEN": READING}
    ),
    "push into another's account": Case(
        "ada/good", ["--push", "--repo-id", "bob/mine"], says=["ada may not write under 'bob'", "--repo-id"]
    ),
    "push onto something else": Case("ada/good", ["--push", "--repo-id", "ada/words"], says=["ada/words", "--repo-id"]),
    "pool that is none": Case("ada/good", ["--pool", "ada/never-was"], says=["pool", "ada/never-was", LOGIN]),
    "folder not empty": Case(
        "ada/good",
        ["--output", "results", *SHORT],
        says=["'results'", "not empty", "--output"],
        files={"results/thesis.txt": "mine"},
    ),
    "folder of something else, to be resumed": Case(
        "ada/good",
        ["--output", "results", "--resume", *SHORT],
        says=["'results'", "holds no distilled dataset", "--output"],
        files={"results/thesis.txt": "mine"},
    ),
}


@dataclass(frozen=True)
class Answer:
    """What came of a case."""

    line: str
    returncode: int
    stderr: str
    seconds: float
    left: Mapping[str, str]  # files in the current folder afterwards


@pytest.fixture(scope="module")
def answers(town: LiveHub, somebody: MakePerson) -> Iterator[Mapping[str, "Future[Answer]"]]:
    """All cases, two at a time; each with empty caches."""
    push_to_hub(REPOS, town, somebody())
    with ThreadPoolExecutor(2) as workers:
        yield {name: workers.submit(_ask, case, somebody(**town.env | case.settings)) for name, case in CASES.items()}


def _ask(case: Case, person: Person) -> Answer:
    for name, content in case.files.items():
        (person.folder / name).parent.mkdir(exist_ok=True)
        (person.folder / name).write_text(content)
    start = monotonic()
    ended = person.ncfm("distill", "--dataset", case.dataset, "--ipc", "1", *case.extra)
    seconds = monotonic() - start
    left = {str(p.relative_to(person.folder)): p.read_text() for p in person.folder.rglob("*") if p.is_file()}
    return Answer(error_line(ended), ended.returncode, ended.stderr, seconds, left)


@pytest.mark.parametrize("name", CASES)
def test_one_line_names_it_and_says_what_to_do(
    answers: Mapping[str, "Future[Answer]"], name: str, town: LiveHub
) -> None:
    case, answer = CASES[name], answers[name].result()
    assert answer.returncode == 1
    for part in case.says:
        assert part.format(hub=town.hub.url) in answer.line
    assert case.notes or answer.stderr.count("\n") == 1, "found out before anything is read or trained"
    assert "pretraining" not in answer.stderr
    assert answer.left == case.files, "nothing of the user's is touched, nothing is left behind"


def test_without_a_network_nobody_waits(answers: Mapping[str, "Future[Answer]"]) -> None:
    """The clients alone would retry for more than 20 seconds; a refusal by a hub that is there takes none."""
    refused = answers["missing dataset"].result().seconds
    assert answers["no network"].result().seconds < refused + 5
    assert answers["offline by choice"].result().seconds < refused + 5
    assert refused < 10 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
