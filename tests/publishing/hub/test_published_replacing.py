"""Pushing to a repository that holds the same dataset, another one, or a damaged one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from ncfm_hub.errors import PublishError, ReplaceNeeded
from ncfm_hub.publishing import check_can_push, push_folder
from ncfm_hub.publishing.cards.merging import parse_card
from ncfm_hub.publishing.dataset.reading import read_data
from ncfm_hub.publishing.hub.held import Held
from tests.publishing.conftest import typed
from tests.publishing.hub.test_published_push import REPO, commits, remote_files, upload
from tests.publishing.noise_sets import noise_set, write_folder, write_pool

OWN = {
    *("README.md", "ipc2/distilled.safetensors", "ipc2/pipeline.yaml", "ipc2/results.json", "ipc2/preview.png"),
    *("ipc2/data/train-00000-of-00001.parquet", "ipc2/stored/train-00000-of-00001.parquet"),
}
STUDY = {"ipc2/continual.json", "ipc2/continual.png"}
OTHER_SOURCE = {"dataset": "other/insects", "fingerprint": "beef"}


def studied(folder: Path, digest: str) -> Path:
    (folder / "ipc2" / "continual.json").write_text(json.dumps({"images_sha256": digest}))
    (folder / "ipc2" / "continual.png").write_bytes(b"a plot")
    return folder


def refused(folder: Path, **more) -> str:
    with pytest.raises(PublishError) as found:
        push_folder(folder, REPO, **more)
    return str(found.value)


def downloaded(hub, tmp_path: Path) -> Path:
    return Path(hub.api().snapshot_download(REPO, repo_type="dataset", local_dir=tmp_path / "downloaded"))


@pytest.mark.parametrize(
    ("there", "coming"),
    [
        ((noise_set(ipc=1), {}), (noise_set(), {})),
        ((noise_set(seed=1), OTHER_SOURCE), (noise_set(), {})),
    ],
    ids=["ipc", "source"],
)
def test_another_set_is_refused_and_replaced_whole_when_asked(hub, here, tmp_path, there, coming):
    both = {"one": there, "other": coming}
    one, other = (write_folder(tmp_path / n, s, name="ipc2", **about) for n, (s, about) in both.items())
    studied(one, there[0].digest)
    for name in ("nas-1.json", "nas-1.png", "results-1.json"):
        (one / "ipc2" / name).write_text(json.dumps({"images_sha256": there[0].digest}))
    push_folder(one, REPO)
    card = (one / "README.md").read_text()
    upload(
        hub, "README.md", card.replace("cc-by-4.0", "mit").replace("- synthetic\n", "- synthetic\n- mine\n") + "Mine.\n"
    )
    upload(hub, "notes.txt", "mine")
    upload(hub, "ipc2/data/train-00001-of-00002.parquet", "stale")
    before = commits(hub)
    line = refused(other)
    name, ipc, classes = there[1].get("dataset", "some/insects"), there[0].ipc, ", ".join(there[0].class_names)
    assert f"{REPO} holds another distilled dataset ({name}, ipc {ipc}, 3 classes: {classes})" in line
    assert "\n" not in line
    assert commits(hub) == before
    done = typed(line.partition("replace what is there with: ")[2])
    assert done.exit_code == 0, done.stderr
    assert f"files that users added to {REPO} stay: notes.txt" in done.stderr
    assert remote_files(hub) == OWN | {"notes.txt"}
    found = downloaded(hub, tmp_path)
    assert read_data(found / "ipc2").digest == coming[0].digest
    text = (found / "README.md").read_text()
    header = parse_card(text).header
    assert (header["license"], "mine" in header["tags"], text.count("Mine.")) == ("cc-by-4.0", True, 1)
    assert header["source_datasets"] == ["some/insects"] if not coming[1] else "source_datasets" not in header


def test_the_same_set_made_again_replaces_the_first_with_a_line(hub, here, tmp_path):
    push_folder(studied(write_folder(tmp_path / "one", noise_set()), noise_set().digest), REPO)
    assert remote_files(hub) == OWN | STUDY
    assert here.lines == []
    again = write_folder(tmp_path / "again", noise_set(seed=1))
    file = again / "ipc2" / "pipeline.yaml"
    pipeline = yaml.safe_load(file.read_text())
    pipeline["recipe"]["distillation"]["steps"] = 700
    file.write_text(yaml.safe_dump(pipeline | {"seed": 1}, sort_keys=False))
    with pytest.raises(ReplaceNeeded, match=r"holds ipc2 already .*--name.*--repo-id.*--replace$"):
        push_folder(again, REPO)
    push_folder(again, REPO, replace=True, progress=here)
    assert remote_files(hub) == OWN, "the study was of the images before"
    assert here.lines[0].startswith(f"uploading to {REPO}: 6 files, ")
    assert here.lines[1] == (
        f"{REPO} held the same ipc2 made before, which was replaced (seed 0 -> 1, distillation.steps 500 -> 700)"
    )


def test_studies_of_the_same_images_stay_and_others_are_not_pushed(hub, here, tmp_path):
    one = studied(write_folder(tmp_path / "one", noise_set()), noise_set().digest)
    push_folder(one, REPO)
    for name in STUDY:
        (one / name).unlink()
    (one / "ipc2" / "nas.json").write_text(json.dumps({"images_sha256": noise_set(ipc=1).digest}))
    push_folder(one, REPO, progress=here)
    assert remote_files(hub) == OWN | STUDY
    assert here.lines == [
        f"{one / 'ipc2' / 'nas.json'} is not pushed: it is of other images",
        f"{REPO} has all of it: nothing is uploaded",
        f"reading {REPO} back",
        "checked: 7 files by SHA-256, 30 images as load_dataset gives them",
    ]
    assert (one / "ipc2" / "nas.json").is_file()


def test_another_set_is_refused_before_hours_of_distillation(hub, here, tmp_path):
    push_folder(write_folder(tmp_path / "one", noise_set()), REPO)
    held = Held("some/insects", True, "f00d", ("ant", "bee", "cat"), ipc=2)

    def asked(coming: Held, **more) -> str:
        return check_can_push(REPO, default_name="x", coming=coming, **{"name": "ipc2", **more})

    with pytest.raises(ReplaceNeeded, match=r"holds ipc2 already \(some/insects, .*--name.*--repo-id.* by --replace$"):
        asked(held)
    assert asked(held, replace=True) == asked(held, name="other") == REPO
    grown = replace(held, class_names=(*held.class_names, "dog"), added_to=REPO)
    assert asked(grown) == REPO, "what the repository holds grew into it"
    for other in (replace(held, ipc=3), replace(held, fingerprint="beef", dataset="other/insects")):
        with pytest.raises(PublishError, match=r"another distilled dataset \(some/insects, ipc 2, .* by --replace$"):
            asked(other)
        assert asked(other, replace=True) == REPO


SMALL = Held("some/insects", True, "f00d", ("ant", "bee"), ipc=2)
LARGE = Held("some/insects", True, "beef", ("ant", "bee", "cat"), ipc=2)


@pytest.mark.parametrize(
    ("there", "coming", "same"),
    [
        (SMALL, replace(SMALL, settings={"seed": 1}), True),
        (SMALL, replace(SMALL, fingerprint="at another commit"), True),
        (SMALL, replace(SMALL, dataset="a copy/of it"), True),
        (SMALL, replace(SMALL, imported="a" * 64), False),
        (SMALL, LARGE, False),
        (SMALL, replace(LARGE, added_to="somewhere"), True),
        (LARGE, replace(SMALL, added_to="somewhere"), False),
        (replace(SMALL, on_hub=False), replace(LARGE, on_hub=False, added_to=REPO), True),
        (replace(SMALL, on_hub=False), replace(LARGE, on_hub=False, added_to="else/where"), False),
        (replace(SMALL, on_hub=False), replace(SMALL, on_hub=False, fingerprint="beef"), False),
    ],
)
def test_what_is_the_same_set(there, coming, same):
    assert there.is_replaced_by(coming, REPO) == same


def test_a_pool_of_another_source_is_refused(hub, here, tmp_path):
    three, four = (write_pool(tmp_path / str(n), 1, classes=n) for n in (3, 4))
    push_folder(three, "ada/pool", repo_type="model")
    with pytest.raises(
        PublishError, match="ada/pool holds another extractor pool \\(tiny, 3 classes: class 0,"
    ) as found:
        push_folder(four, "ada/pool", repo_type="model")
    done = typed(str(found.value).partition("with: ")[2])
    assert done.exit_code == 0, done.stderr
    assert "it was replaced by tiny, 4 classes" in done.stderr


TENSORS, PIPELINE = "ipc2/distilled.safetensors", "ipc2/pipeline.yaml"
BROKEN_CARD = "---\nlicense: [mit\n---\nMy words.\n"


@pytest.mark.parametrize(
    "damage",
    [
        {TENSORS: "cut"},
        {TENSORS: None},
        {PIPELINE: "ncfm_hub: [1"},
        {"README.md": None, TENSORS: "cut"},
        {"README.md": BROKEN_CARD, TENSORS: None, "ipc2/results.json": "{"},
        {"ipc2/data/train-00000-of-00001.parquet": "cut", "ipc2/stored/train-00000-of-00001.parquet": None},
    ],
)
def test_a_good_set_mends_a_damaged_repository_of_the_same(hub, here, tmp_path, monkeypatch, damage):
    folder = write_folder(tmp_path / "set", noise_set())
    push_folder(folder, REPO)
    with monkeypatch.context() as patch:
        patch.setattr(HfApi, "_validate_yaml", lambda *_, **__: None)  # as with git, which looks at no card
        for name, content in damage.items():
            if content is None:
                hub.api().delete_file(name, REPO, repo_type="dataset")
            else:
                upload(hub, name, content)
    other = write_folder(tmp_path / "other", noise_set(ipc=1), name="ipc2")
    assert "holds another distilled dataset (some/insects, ipc 2, 3 classes" in refused(other)
    push_folder(folder, REPO, replace=True)
    assert remote_files(hub) == OWN
    found = downloaded(hub, tmp_path)
    assert read_data(found / "ipc2").digest == noise_set().digest
    text = (found / "README.md").read_text()
    assert parse_card(text).header["license"] == "cc-by-4.0"
    assert text.count("My words.") == (damage.get("README.md") == BROKEN_CARD)


def test_where_nothing_says_what_was_there_it_is_replaced_when_asked(hub, here, tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    hub.api().create_repo(REPO, repo_type="dataset")
    upload(hub, TENSORS, "cut")
    line = refused(folder)
    assert f"{REPO} holds a distilled dataset that does not say what it is of, and this one is some/insects" in line
    assert typed(line.partition("with: ")[2]).exit_code == 0
    assert remote_files(hub) == OWN
