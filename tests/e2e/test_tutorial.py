"""The tutorial, typed command by command from its page, on tiny photographs and a live hub."""

import random
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import REPOSITORY, LiveHub
from tests.e2e.people import MakePerson, Person

PAGE = (REPOSITORY / "docs" / "tutorial.md").read_text()
USER = "ada"  # YOU on the page
CLASSES = {"cat": (200, 120, 60), "dog": (60, 160, 90), "horse": (70, 80, 200)}


def blocks() -> Iterator[tuple[str, str]]:
    """(language, text) of what stands in fences, in the order of the page."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def photograph(folder: Path) -> None:
    """Photographs of a few pixels in the colour of their class, as the page lays them out."""
    draw = random.Random(0)
    for split, count in (("train", 12), ("test", 4)):
        for name, colour in CLASSES.items():
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                picture = Image.new("RGB", (48, 40), colour)
                pixels = [tuple(draw.randint(0, 255) for _ in range(3)) for _ in range(12)]
                picture.paste(Image.frombytes("RGB", (4, 3), bytes(sum(pixels, ()))).resize((24, 20)), (12, 10))
                picture.save(place / f"{number:04}.jpg")


class Reader:
    """Somebody who reads the page from top to bottom and does what it says."""

    def __init__(self, person: Person):
        self.person = person
        self.settings: dict[str, str] = {}
        self.typed: list[list[str]] = []
        self.said: dict[str, str] = {}

    def follow(self) -> None:
        for language, text in blocks():
            text = text.replace("YOU", USER)
            if language == "yaml":
                (self.person.folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
            elif language == "sh":
                for line in text.replace("\\\n", " ").splitlines():
                    self.type(shlex.split(line, comments=True))
            elif language == "python":
                ended = self.person.python("-c", text)
                assert ended.returncode == 0, ended.stderr
                self.said["python"] = ended.stdout
            else:
                assert language == "text"

    def type(self, words: list[str]) -> None:
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.settings[name] = value
            return
        assert words[0] == "ncfm-hub"
        self.typed.append(words[1:])
        ended = self.person.ncfm(*words[1:], **self.settings)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        self.said[" ".join(words[1:])] = ended.stdout


@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(hub: LiveHub, somebody: MakePerson) -> None:
    reader = Reader(somebody(**hub.env))
    folder = reader.person.folder
    photograph(folder / "photos")
    reader.follow()
    assert {words[0] for words in reader.typed} == {"distill", "verify", "report", "evaluate", "push", "pretrain"}

    _, shown = next(block for block in blocks() if block[1].startswith("pipeline "))
    said = next(said for words, said in reader.said.items() if "--dry-run" in words)
    assert set(shown.splitlines()) <= set(said.splitlines()), "the plan is that of the page"

    files = re.findall(r"^\| `([\w./*]+)` \|", PAGE, re.MULTILINE)
    assert len(files) == 7
    assert all(list((folder / "runs" / "photos").glob(file)) for file in files)
    assert {path.name for path in (folder / "runs" / "photos").glob("ipc*")} == {"ipc1", "ipc10"}
    assert (folder / "photos.html").is_file()

    assert reader.said["python"] == f"{list(CLASSES)} 120\n"
    private = {name: hub.api().dataset_info(f"{USER}/{name}").private for name in ("photos-ncfm", "photos-tiny")}
    assert private == {"photos-ncfm": False, "photos-tiny": True}
    assert (folder / "three" / "ipc10" / "distilled.safetensors").is_file()
