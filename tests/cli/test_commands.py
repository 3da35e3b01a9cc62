"""Short commands: one call of the library each, and its result in the requested format."""

import json
import re

import pytest
import yaml

from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.recipes.resolve import load_pipeline, pipeline_names
from tests.publishing.noise_sets import noise_set, write_folder


def test_pretrain(invoke, library):
    result = invoke("pretrain", "--dataset", "cifar10", "--preset", "cpu", "--backbone", "resnet18", "--format", "json")
    assert json.loads(result.stdout) == {
        "folder": str(library.folder),
        "key": "abc",
        "members": 2,
        "accuracy": [{"0.0": 74.0, "1.0": 9.5}, {"0.0": 75.0, "1.0": 10.5}],
        "repo": None,
    }
    given = library.call("pretrain")
    library.calls.clear()
    people = invoke("pretrain", "--dataset", "cifar10")
    assert "accuracy    74.5 % at beta 0, 10.0 % at beta 1" in people.stdout
    assert given["overrides"] == {"pool.backbone": "resnet18"}
    assert (given["dataset"], given["preset"], given["push"], given["private"]) == ("cifar10", "cpu", False, False)


def test_evaluate(invoke, library):
    result = invoke("evaluate", "runs/x", "--students", "3", "--revision", "v1")
    assert "distilled           soft" in result.stdout
    ((_, positional, given),) = library.calls
    assert (positional, given["targets"]) == ((), ("runs/x",))
    assert (given["overrides"], given["revision"]) == ({"evaluation.students": 3}, "v1")


def test_push(invoke, library, tmp_path):
    result = invoke("push", tmp_path, "--repo-id", "ada/x", "--private", "-q")
    assert result.stdout == "ada/x\n"
    ((_, positional, given),) = library.calls
    assert positional == (tmp_path,)
    assert (given["repo_id"], given["private"]) == ("ada/x", True)
    assert invoke("push", tmp_path / "missing").exit_code == 2


def test_preview_draws_into_the_folder_or_where_told(invoke, monkeypatch, tmp_path):
    folder = write_folder(tmp_path / "set", noise_set())
    own = folder / "ipc2" / "preview.png"
    expected = own.read_bytes()
    own.unlink()
    for named in (folder, folder / "ipc2"):
        assert invoke("preview", named).stdout == f"{own}\n"
    monkeypatch.setattr("ncfm_hub.publishing.dataset.loading.find", lambda *_, **__: SetPlace(folder, "ipc2"))
    assert invoke("preview", "ada/x", "--out", tmp_path / "sheet.png").exit_code == 0
    assert own.read_bytes() == (tmp_path / "sheet.png").read_bytes() == expected


def test_pipelines_list_has_all_with_their_descriptions(invoke):
    rows = json.loads(invoke("pipelines", "list", "--format", "json").stdout)
    assert [row["name"] for row in rows] == pipeline_names()
    assert all(row["description"] for row in rows)
    assert invoke("pipelines", "list", "-q").stdout.split() == pipeline_names()


def test_pipelines_show_is_the_resolved_recipe_and_a_usable_file(invoke, tmp_path):
    text = invoke("pipelines", "show", "cifar10", "--preset", "paper", "--set", "pool.size=7").stdout
    expected = load_pipeline("cifar10", preset="paper", overrides={"pool.size": 7}).recipe
    assert yaml.safe_load(text) == expected.model_dump()
    saved = tmp_path / "mine.yaml"
    saved.write_text(text)
    assert load_pipeline(str(saved), preset="cpu").recipe == expected


def test_pipelines_copy_never_overwrites_unasked(invoke, tmp_path):
    file = tmp_path / "mine.yaml"
    assert invoke("pipelines", "copy", "digits", file).exit_code == 0
    assert load_pipeline(str(file)).recipe == load_pipeline("digits").recipe
    file.write_text("mine\n")
    refused = invoke("pipelines", "copy", "digits", file)
    assert (refused.exit_code, file.read_text()) == (1, "mine\n")
    assert "--force" in refused.stderr
    assert invoke("pipelines", "copy", "digits", file, "--force").exit_code == 0
    assert load_pipeline(str(file)).name == "mine"


def test_an_unknown_pipeline_names_the_nearest(invoke):
    result = invoke("pipelines", "show", "cifar01", "--preset", "cpu")
    assert result.exit_code == 1
    assert "cifar10" in result.stderr


def test_env_tells_what_is_here_and_never_the_token(cli):
    token = "hf_" + "x1" * 17
    result = cli("env", "--format", "json", env={"HF_TOKEN": token, "HF_ENDPOINT": "http://127.0.0.1:9"})
    facts = json.loads(result.stdout)
    assert facts["token set"] == "yes"
    assert facts["endpoint"] == "http://127.0.0.1:9"
    assert facts["device"].split()[0] in ("cpu", "cuda", "mps")
    assert re.search(r"\((0\.\d) MB\)$", facts["cache"])  # nothing but the C++ that this machine was asked for
    assert token not in result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [[], ["pipelines"]])
def test_a_group_alone_shows_its_help(invoke, arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage: ncfm-hub" in result.output
