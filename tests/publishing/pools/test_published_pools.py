"""A run looks for a pool with its key among those published, and goes on whatever the Hub answers."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ncfm_hub import api as run
from ncfm_hub.errors import PipelineError, PoolError
from ncfm_hub.extractors import members, published
from ncfm_hub.extractors.published import find_published
from ncfm_hub.publishing.dataset.provenance import recipe_of
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.utils.patience import speaking
from tests.conftest import LiveHub
from tests.damage import flip
from tests.publishing.conftest import Notes
from tests.publishing.noise_sets import write_pool
from tests.publishing.pools.shared import KEY, own_caches, rewrite, upload_pool

OWN, NAMED = "ada/digits-ncfm-pool", "ada/shared-by-others"
SMALL: dict[str, Any] = {
    "source.classes": [0, 1, 2],
    "pool.backbone": "convnet-d3-w32-instance-relu-avg",
    "pool.size": 1,
    "pool.epochs": 1,
    "distillation.steps": 2,
    "distillation.frequencies": 32,
    "distillation.real_batch": 8,
    "evaluation.students": 0,
    "engine.precision": "fp32",
    "engine.compile": "off",
}


@pytest.fixture(autouse=True)
def pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    if request.node.get_closest_marker("slow"):  # a whole run, which reads its source by datasets
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    return own_caches(tmp_path, monkeypatch)


def test_the_user_s_own_pool_comes_before_the_one_that_the_pipeline_names(
    hub: LiveHub, here: Notes, tmp_path: Path
) -> None:
    folder = write_pool(tmp_path / "pool")
    named = upload_pool(hub, folder, NAMED)
    assert find_published(KEY, "digits", None, None) is None
    assert find_published(KEY, "digits", NAMED, None) == named
    own = upload_pool(hub, folder, OWN)
    assert find_published(KEY, "digits", NAMED, None) == own
    assert find_published(KEY, "cifar10", named, None) == named
    assert find_published(KEY[::-1], "digits", NAMED, None) is None
    rewrite(folder, key=KEY[::-1])
    upload_pool(hub, folder, OWN)
    assert find_published(KEY, "digits", NAMED, None) == named


def test_without_a_token_only_the_pool_that_the_pipeline_names_is_asked_for(
    hub: LiveHub, here: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = upload_pool(hub, write_pool(tmp_path / "pool"), OWN)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(published, "current_token", lambda token: token)
    assert find_published(KEY, "digits", None, None) is None
    assert find_published(KEY, "digits", OWN, None) == place


@pytest.mark.parametrize("answer", ["offline", "unreachable", "busy", "refused", "a sign-in page"])
def test_a_hub_that_cannot_be_asked_is_passed_over(
    answer: str, hub: LiveHub, here: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_pool(hub, write_pool(tmp_path / "pool"), OWN)
    if answer == "offline":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr(published, "look_at_pool", lambda *_: pytest.fail("asked"))
        monkeypatch.setattr(published, "account_of", lambda *_: pytest.fail("asked"))
    elif answer == "unreachable":
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    elif answer == "busy":
        monkeypatch.setattr("ncfm_hub.utils.patience.CEILING", 0.5)
        for path in ("/api/whoami-v2", "/api/models"):
            hub.hub.inject("GET", path, 503, times=99)
    elif answer == "refused":
        monkeypatch.setenv("HF_TOKEN", "made-up")
    else:
        monkeypatch.setattr("huggingface_hub.HfApi.whoami", lambda *_, **__: {"sign": "in"})
        monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: None)
    assert find_published(KEY, "digits", OWN if answer == "a sign-in page" else None, None) is None


def test_a_published_pool_that_cannot_be_one_is_said(hub: LiveHub, here: Notes, tmp_path: Path) -> None:
    folder = write_pool(tmp_path / "pool")
    rewrite(folder, members=[{"accuracy": {}}] * 2000)
    upload_pool(hub, folder, OWN)
    with speaking(here):
        assert find_published(KEY, "digits", None, None) is None
    (line,) = here.lines
    assert OWN in line
    assert "at most 1000 items" in line
    assert line.endswith("; it is not used")


def test_where_a_pool_may_be_published_is_a_repository() -> None:
    with pytest.raises(PipelineError, match=r"pool\.published is '\.\./x' \(text\); expected owner/name, or"):
        load_pipeline("digits", overrides={"pool.published": "../x"})


def pretrain(progress: Notes | None = None, **options: Any) -> run.PoolResult:
    return run.pretrain("digits", preset="cpu", overrides=SMALL, progress=progress, **options)


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("trained")


@pytest.mark.slow
def test_a_run_takes_the_published_pool_with_its_key(
    hub: LiveHub, here: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pretrain(push=True)
    assert made.pushed is not None
    place = f"{OWN}@{made.pushed.revision}"
    assert made.pushed.repo_id == OWN
    monkeypatch.setattr(members, "train_members", refuse)
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "another machine"))
    planned = run.plan("digits", 1, preset="cpu", overrides=SMALL, output=tmp_path / "out")
    assert (planned.pool["origin"], planned.pool["cached"], planned.published) == (place, False, place)
    assert not (tmp_path / "another machine" / "pools").exists()
    with pytest.raises(AssertionError, match="trained"):
        pretrain(pool="none")
    done = run.carry_out(planned, progress=here)
    assert f"extractor pool: 1 x {SMALL['pool.backbone']}, {place}, trained with the same settings" in here.lines
    described = yaml.safe_load((done.set_folder / "pipeline.yaml").read_text())
    assert (described["pool"]["origin"], described["pool"]["trained_by_this_recipe"]) == (place, True)
    assert recipe_of(described, done.set_folder).pool.use is None
    again = run.plan("digits", 1, preset="cpu", overrides=SMALL, output=tmp_path / "out2")
    assert (again.pool["origin"], again.pool["cached"], again.published) == ("cache", True, None)
    with pytest.raises(AssertionError, match="trained"):
        pretrain(pool="none")
    assert pretrain().key == made.key
    pushed = run.push_pool("digits", preset="cpu", overrides=SMALL, repo_id="again")
    assert find_published(made.key, "another", pushed.repo_id, None) == f"ada/again@{pushed.revision}"
    with pytest.raises(PoolError, match="no extractor pool with these settings of digits is in the cache"):
        run.push_pool("digits", preset="cpu", overrides=SMALL | {"pool.seed": 1})


@pytest.mark.slow
def test_a_pool_that_is_named_is_used_whatever_its_key(
    hub: LiveHub, here: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a flag, a setting or a pipeline file; at its commit, and as given."""
    made = pretrain(push=True)
    assert made.pushed is not None
    place = f"{OWN}@{made.pushed.revision}"
    monkeypatch.setattr(members, "train_members", refuse)
    other = SMALL | {"pool.seed": 5}
    options: dict[str, Any] = {"preset": "cpu", "output": tmp_path / "out"}
    for planned in (
        run.plan("digits", 1, overrides=other, pool=OWN, **options),
        run.plan("digits", 1, overrides=other | {"pool.use": place}, **options),
        run.plan("digits", 1, overrides=other | {"pool.use": "none"}, pool=place, **options),
    ):
        assert (planned.extractors, planned.published) == (place, None)
    done = run.carry_out(planned, progress=here)
    assert f"extractor pool: 1 x {SMALL['pool.backbone']}, {place}, as given" in here.lines
    described = yaml.safe_load((done.set_folder / "pipeline.yaml").read_text())
    assert (described["pool"]["origin"], described["pool"]["trained_by_this_recipe"]) == (place, False)
    assert not {"use", "published"} & described["recipe"]["pool"].keys()  # unknown to earlier versions
    described["recipe"]["pool"] |= {"use": "/etc"}  # as a stranger's
    assert recipe_of(described, done.set_folder).pool.use == place
    described["pool"]["origin"] = "/etc"
    assert recipe_of(described, done.set_folder).pool.use is None
    copied = run.pretrain("digits", preset="cpu", overrides=other, pool=OWN, output=tmp_path / "copy")
    assert (copied.folder, copied.key) == (tmp_path / "copy", made.key)
    assert (tmp_path / "copy" / "config.json").is_file()
    assert run.plan("digits", 1, overrides=SMALL, pool="none", **options).extractors == "none"


@pytest.mark.slow
def test_a_published_pool_that_is_damaged_is_said_and_trained_anew_but_an_error_if_named(
    hub: LiveHub, here: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pretrain(push=True)
    flip(made.folder / "00-trained.safetensors")
    upload_pool(hub, made.folder, OWN)
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "another machine"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "another hub cache"))
    with pytest.raises(PoolError, match=r"00-trained\.safetensors is .*not readable"):
        run.plan("digits", 1, preset="cpu", overrides=SMALL, pool=OWN, output=tmp_path / "out")
    again = pretrain(progress=here)
    assert again.key == made.key
    assert [line for line in here.lines if "this pool is not used" in line and OWN in line]
    assert here.lines[-1] == f"extractor pool: 1 x {SMALL['pool.backbone']}, trained here"
    assert [path.name for path in (tmp_path / "another machine" / "pools").iterdir()] == [made.key]
