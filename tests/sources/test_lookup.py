"""Sources on a Hub, through real clients against a live local hub; each child process has caches of its own."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ncfm_hub.localhub import Hub, User, running
from ncfm_hub.recipes.resolve import load_pipeline, pipeline_names
from tests.children import run_python
from tests.conftest import clean_environment
from tests.sources.small_images import plain_image, zipped
from tests.sources.trees import several, tree

OWNERS = ("ylecun", "zalando-datasets", "ufldl-stanford", "uoft-cs", "zh-plus", "frgfm", "ILSVRC")
USERS = [User("ada", "token-of-ada"), *(User(owner, f"token-of-{owner}") for owner in OWNERS)]
LISTS = {
    "mnist": [str(n) for n in range(10)],
    "tiny-imagenet": [f"n{n:08}" for n in range(200)],
    "imagenet": [f"thing {n}" for n in range(1000)],
    "cifar100": [f"fine {n}" for n in range(100)],
}

SEED = """
import io, json, sys
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from huggingface_hub import HfApi
from PIL import Image as Pillow

def png(value, mode):
    buffer = io.BytesIO(); Pillow.new(mode, (40, 36), value if mode == "L" else (value, 0, 0)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}

for repo in json.load(sys.stdin):
    api = HfApi(token=f"token-of-{repo['id'].split('/')[0]}")
    api.create_repo(repo["id"], repo_type="dataset", private=repo.get("private", False))
    features = {repo["image"]: Image()} | {name: ClassLabel(names=names) for name, names in repo["labels"].items()}
    splits = {}
    for split, labels in repo["splits"].items():
        columns = {repo["image"]: [png(n % 251, repo.get("mode", "RGB")) for n in labels]}
        for name, names in repo["labels"].items():
            columns[name] = [n % len(names) for n in labels]
        splits[split] = Dataset.from_dict(columns, features=Features(features))
    DatasetDict(splits).push_to_hub(repo["id"], repo["config"], token=api.token)
    print(repo["id"], api.dataset_info(repo["id"]).sha)
"""

ASK = """
import json, sys, time
from ncfm_hub.errors import SourceError
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.sources import inspect_source, load_source
answers = []
for what, spec in json.load(sys.stdin):
    start = time.monotonic()
    try:
        if what == "inspect":
            answer = {"info": vars(inspect_source(SourceRecipe(**spec)))}
        else:
            source = load_source(SourceRecipe(**spec))
            answer = {"info": vars(source.info), "notes": source.notes, "train": source.train.labels.tolist(),
                      "test": source.test.labels.tolist(), "first": source.train.images[:, 0, 0, 0].tolist()}
    except SourceError as error:
        answer = {"error": str(error)}
    answers.append(answer | {"seconds": time.monotonic() - start})
json.dump(answers, sys.stdout)
"""


def child(script: str, given: Any, home: Path, **environment: str) -> str:
    home.mkdir(parents=True, exist_ok=True)
    ran = run_python(["-c", script], clean_environment(home) | environment, home, 120, json.dumps(given))
    assert ran.returncode == 0, ran.stderr
    assert "token-of-" not in ran.stdout + ran.stderr
    return ran.stdout


def ask(questions: list[tuple[str, dict[str, Any]]], home: Path, url: str, **environment: str) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = json.loads(child(ASK, questions, home, HF_ENDPOINT=url, **environment))
    assert all("\n" not in answer.get("error", "") for answer in answers)
    return answers


@dataclass(frozen=True)
class Seeded:
    hub: Hub
    shas: dict[str, str]

    @property
    def url(self) -> str:
        return self.hub.url


def repositories() -> list[dict[str, Any]]:
    """One with each schema that the thirteen pipelines name, a few images each, and some that are awkward."""
    small = {"train": list(range(20)), "test": list(range(10))}
    ten = [f"class {n}" for n in range(10)]
    chosen = sorted({int(c) for name in pipeline_names() for c in load_pipeline(name).recipe.source.classes or []})

    def repo(name: str, config: str, labels: dict[str, list[str]], splits: Any = small, **more: Any) -> dict[str, Any]:
        return {"id": name, "config": config, "image": "image", "labels": labels, "splits": splits} | more

    return [
        repo("ylecun/mnist", "mnist", {"label": LISTS["mnist"]}, mode="L"),
        repo("zalando-datasets/fashion_mnist", "fashion_mnist", {"label": ten}, mode="L"),
        repo("ufldl-stanford/svhn", "cropped_digits", {"label": LISTS["mnist"]}, small | {"extra": list(range(50))}),
        repo("uoft-cs/cifar10", "plain_text", {"label": ten}, image="img"),
        repo(
            "uoft-cs/cifar100",
            "cifar100",
            {"fine_label": LISTS["cifar100"], "coarse_label": ten},
            {"train": list(range(100)), "test": list(range(100))},
            image="img",
        ),
        repo(
            "zh-plus/tiny-imagenet",
            "default",
            {"label": LISTS["tiny-imagenet"]},
            {"train": list(range(200)), "valid": list(range(200))},
        ),
        repo("frgfm/imagenette", "160px", {"label": ten}, {"train": small["train"], "validation": small["test"]}),
        repo("frgfm/imagewoof", "160px", {"label": ten}, {"train": small["train"], "validation": small["test"]}),
        repo(
            "ILSVRC/imagenet-1k",
            "default",
            {"label": LISTS["imagenet"]},
            {"train": [*chosen, 500, 501], "validation": chosen, "test": [1, 2, 3]},
        ),
        repo("ada/digits", "default", {"label": LISTS["mnist"]}, mode="L"),
        repo("ada/secret", "default", {"label": ten}, private=True),
    ]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    folder = tmp_path_factory.mktemp("sources-hub")
    with running(folder / "root", users=USERS, allow_faults=True) as hub:
        printed = child(SEED, repositories(), folder, HF_ENDPOINT=hub.url)
        yield Seeded(hub, dict(line.split() for line in printed.splitlines()))


def source_of(name: str) -> dict[str, Any]:
    return load_pipeline(name).recipe.source.model_dump()


def test_all_pipelines_find_their_columns_classes_and_revision(seeded: Seeded, tmp_path: Path) -> None:
    names = pipeline_names()
    assert len(names) == 13
    answers = ask([("inspect", source_of(name)) for name in names], tmp_path, seeded.url, HF_TOKEN="token-of-ada")
    for name, answer in zip(names, answers, strict=True):
        spec, info = source_of(name), answer["info"]
        repo = spec["dataset"].replace("{user}", "ada")
        assert info["dataset"] == repo
        assert info["revision"] == seeded.shas[repo]
        assert info["image_column"] == (spec["image_column"] or "image")
        assert info["label_column"] == (spec["label_column"] or "label")
        assert (info["train_split"], info["test_split"]) == (spec["train_split"], spec["test_split"])
        assert info["config"] == (spec["config"] or "default")
        if spec["classes"]:
            assert info["class_ids"] == spec["classes"]
            assert info["class_names"] == [f"thing {index}" for index in spec["classes"]]
    by_name = dict(zip(names, answers, strict=True))
    assert by_name["cifar100"]["info"]["class_names"] == LISTS["cifar100"]
    assert by_name["svhn"]["info"]["train_examples"] == 20


def test_reads_what_it_needs_and_nothing_more(seeded: Seeded, tmp_path: Path) -> None:
    svhn, fruit = ask(
        [("load", source_of("svhn")), ("load", source_of("imagefruit"))], tmp_path, seeded.url, HF_TOKEN="token-of-ada"
    )
    assert svhn["train"] == [n % 10 for n in range(20)]
    assert svhn["first"] == list(range(20))
    fetched = [path.name for path in (tmp_path / "hf").rglob("*.parquet")]
    assert any(name.startswith("train-") for name in fetched)
    assert not any(name.startswith("extra-") for name in fetched)
    assert not any((tmp_path / "hf").rglob("*extra*.arrow"))
    wanted = source_of("imagefruit")["classes"]
    assert sorted(fruit["train"]) == list(range(10))  # one image of each class wanted, none of the others
    assert [wanted[c] % 251 for c in fruit["train"]] == fruit["first"]
    assert fruit["info"]["train_examples"] > 10  # the rows before the filter, as the card says


def test_the_users_own_digits(seeded: Seeded, tmp_path: Path) -> None:
    own = ask([("inspect", source_of("digits"))], tmp_path, seeded.url, HF_TOKEN="token-of-ada")[0]
    of_nobody = ask([("inspect", source_of("digits"))], tmp_path, seeded.url, HF_TOKEN="token-of-frgfm")[0]
    assert own["info"]["dataset"] == "ada/digits"
    assert own["info"]["train_examples"] == 20
    assert of_nobody["info"]["dataset"] == "digits (packaged with ncfm-hub)"
    said = of_nobody["info"]["notes"][0]
    assert said.startswith("dataset frgfm/digits is not on")
    assert said.endswith("using the copy of the digits that ships with ncfm-hub")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"), ({}, "cannot reach the Hub")],
    ids=["offline", "unreachable"],
)
def test_the_packaged_digits_where_no_hub_can_be_asked(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    nobody = "http://127.0.0.1:9"
    (found,) = ask([("inspect", source_of("digits"))], tmp_path, nobody, HF_TOKEN="token-of-ada", **settings)
    assert found["info"]["dataset"] == "digits (packaged with ncfm-hub)"
    assert found["info"]["notes"][0].startswith(reason)


def test_a_token_that_is_refused_and_a_revision_are_not_passed_over(seeded: Seeded, tmp_path: Path) -> None:
    wrong = ask([("inspect", source_of("digits"))], tmp_path, seeded.url, HF_TOKEN="token-of-nobody-here")[0]
    assert "refused the token" in wrong["error"]
    asked = source_of("digits") | {"revision": "v2"}
    assert "no revision" in ask([("inspect", asked)], tmp_path, seeded.url, HF_TOKEN="token-of-ada")[0]["error"]


def test_missing_private_and_refused(seeded: Seeded, tmp_path: Path) -> None:
    questions = [
        ("inspect", {"dataset": "uoft-cs/cifar11"}),
        ("inspect", {"dataset": "uoft-cs/cifar10", "revision": "v9"}),
        ("inspect", {"dataset": "uoft-cs/cifar10", "config": "plain"}),
        ("inspect", {"dataset": "ada/secret"}),
        ("inspect", {"dataset": "{user}/digits2"}),
        ("inspect", {"dataset": "uoft-cs/cifar100"}),
        ("inspect", {"dataset": "not a name"}),
    ]
    missing, revision, config, private, user, columns, name = ask(questions, tmp_path, seeded.url)
    assert "dataset uoft-cs/cifar11 is not on" in missing["error"]
    assert "`hf auth login`" in missing["error"]
    assert "dataset uoft-cs/cifar10 has no revision 'v9'" in revision["error"]
    assert "uoft-cs/cifar10 has no config 'plain'; did you mean plain_text?" in config["error"]
    assert "dataset ada/secret is not on" in private["error"]
    assert "or is private" in private["error"]
    assert "{user} needs a token" in user["error"]
    assert "--label-column" in columns["error"]
    assert "expected owner/name" in name["error"]
    with_token = ask([("inspect", {"dataset": "ada/secret"})], tmp_path / "ada", seeded.url, HF_TOKEN="token-of-ada")
    assert with_token[0]["info"]["train_examples"] == 20
    refused = ask(questions[:1], tmp_path / "bad", seeded.url, HF_TOKEN="wrong")[0]["error"]
    assert "refused the token" in refused
    assert "wrong" not in refused


def test_offline_is_said_at_once(seeded: Seeded, tmp_path: Path) -> None:
    question = [("inspect", {"dataset": "uoft-cs/cifar10"})]
    nobody = ask(question, tmp_path, "http://127.0.0.1:9")[0]
    assert "cannot reach the Hub at http://127.0.0.1:9" in nobody["error"]
    assert nobody["seconds"] < 10
    unknown = ask(question, tmp_path, "http://no-such-host.invalid")[0]
    assert "cannot reach the Hub at http://no-such-host.invalid" in unknown["error"]
    assert unknown["seconds"] < 15
    offline = ask(question, tmp_path, seeded.url, HF_HUB_OFFLINE="1")[0]
    assert "HF_HUB_OFFLINE is set" in offline["error"]


def test_a_hub_that_fails_is_named(seeded: Seeded, tmp_path: Path) -> None:
    script = "from ncfm_hub.utils import patience\npatience.CEILING, patience.FIRST_PAUSE = 1.0, 0.1\n" + ASK
    cases = (
        ("uoft-cs/cifar10", "GET", "/api/datasets/uoft-cs/cifar10", 503),
        ("frgfm/imagewoof", "HEAD", "/frgfm/imagewoof/resolve/", "hang"),
    )
    for dataset, method, path, fault in cases:
        seeded.hub.inject(method, path, fault, times=100)
        question = [("load", {"dataset": dataset, "resolution": 8})]
        environment = {"HF_ENDPOINT": seeded.url, "HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
        answer = json.loads(child(script, question, tmp_path / str(fault) / method, **environment))[0]
        assert f"dataset {dataset}" in answer["error"]
        assert "503" in answer["error"] or "timed out" in answer["error"] or "Timeout" in answer["error"], path
        assert answer["seconds"] < 15, path


def test_a_hub_that_fails_in_passing_is_asked_again(seeded: Seeded, tmp_path: Path) -> None:
    name = "zalando-datasets/fashion_mnist"
    requests = (("GET", "/api/datasets/{}"), ("HEAD", "/{}/resolve/"), ("GET", "/{}/tree/"))
    for (method, path), fault in zip(requests, (503, "hang", "hang"), strict=True):
        seeded.hub.inject(method, path.format(name), fault)
    patience = {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    answer = ask([("load", {"dataset": name, "resolution": 8})], tmp_path, seeded.url, **patience)[0]
    assert len(answer["train"]) == 20


def test_a_revision_stays_what_it_was(seeded: Seeded, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=seeded.url, token="token-of-ada")
    before = seeded.shas["ada/digits"]
    api.create_tag("ada/digits", tag="v1", repo_type="dataset", revision=before)
    api.upload_file(path_or_fileobj=b"more", path_in_repo="NEWS.md", repo_id="ada/digits", repo_type="dataset")
    tagged, newest = ask(
        [("inspect", {"dataset": "ada/digits", "revision": "v1"}), ("inspect", {"dataset": "ada/digits"})],
        tmp_path,
        seeded.url,
        HF_TOKEN="token-of-ada",
    )
    assert tagged["info"]["revision"] == before
    assert newest["info"]["revision"] != before
    assert newest["info"]["fingerprint"] != tagged["info"]["fingerprint"]


def test_images_in_zip_files(seeded: Seeded, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=seeded.url, token="token-of-ada")
    api.create_repo("ada/zipped", repo_type="dataset")
    for n, split in enumerate(("train", "test")):
        pictures = {f"{name}/{k}.png": plain_image(50 * c + 10 * n + k) for c, name in enumerate("ab") for k in (0, 1)}
        api.upload_file(
            path_or_fileobj=zipped(pictures),
            path_in_repo=f"data/{split}.zip",
            repo_id="ada/zipped",
            repo_type="dataset",
        )
    answer = ask([("load", {"dataset": "ada/zipped", "resolution": 8})], tmp_path, seeded.url)[0]
    assert answer["info"]["class_names"] == ["a", "b"]
    assert (answer["train"], answer["first"]) == ([0, 0, 1, 1], [0, 1, 50, 51])
    assert answer["test"] == [0, 0, 1, 1]


def test_image_folders_are_read_as_local_ones_are(seeded: Seeded, tmp_path: Path) -> None:
    """A class called "train" had its test images trained on. Only the images of classes wanted are fetched."""
    from huggingface_hub import HfApi

    folders = [f"{split}/{name}" for split in ("train", "test") for name in ("cat", "dog", "train")]
    tree(tmp_path / "folder", [file for folder in folders for file in several(folder, 2)] + ["banner.png"])
    api = HfApi(endpoint=seeded.url, token="token-of-ada")
    api.create_repo("ada/folder", repo_type="dataset")
    api.upload_folder(repo_id="ada/folder", folder_path=tmp_path / "folder", repo_type="dataset")
    spec = {"dataset": "ada/folder", "resolution": 8}
    every, some = ask([("inspect", spec), ("load", spec | {"classes": ["cat", "dog"]})], tmp_path, seeded.url)
    assert every["info"]["class_names"] == ["cat", "dog", "train"]
    assert (every["info"]["train_examples"], every["info"]["test_examples"]) == (6, 6)
    assert "1 image outside test, train skipped: banner.png" in every["info"]["notes"]
    assert (some["train"], some["test"]) == ([0, 0, 1, 1], [0, 0, 1, 1])
    fetched = {"/".join(path.parts[-3:]) for path in (tmp_path / "hf").rglob("*.png")}
    assert fetched == {f"{folder}/{n}.png" for folder in folders if not folder.endswith("/train") for n in (0, 1)}


class _Gated(BaseHTTPRequestHandler):
    """A repository that anybody may see and nobody may read."""

    def do_GET(self) -> None:
        gate = self.path.endswith("auth-check")
        body = json.dumps(
            {"error": "gated"} if gate else {"id": "ILSVRC/imagenet-1k", "sha": "0" * 40, "gated": "auto"}
        )
        self.send_response(403 if gate else 200)
        if gate:
            self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_gated_says_what_to_do(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Gated)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        start = time.monotonic()
        answer = ask([("inspect", source_of("imagefruit"))], tmp_path, f"http://127.0.0.1:{server.server_port}")[0]
        assert time.monotonic() - start < 60
    finally:
        server.shutdown()
    assert "dataset ILSVRC/imagenet-1k is gated: accept its terms" in answer["error"]
    assert "`hf auth login`" in answer["error"]
