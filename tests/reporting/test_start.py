"""The initialisation in a report: sampled again from the source, or left out with the reason."""

from pathlib import Path

import pytest
import torch
import yaml

from ncfm_hub.errors import NcfmHubError
from ncfm_hub.matching.synthetic import mixed_tiles
from ncfm_hub.recipes.resolve import load_pipeline
from ncfm_hub.reporting import write_report
from ncfm_hub.reporting.gather import gather
from ncfm_hub.sources import Source, load_source
from ncfm_hub.utils.progress import Silent
from ncfm_hub.utils.seeding import generator
from tests.publishing.noise_sets import described, noise_set, write_folder
from tests.reporting.pages import Page, two_images

IPC, SEED = 2, 3
RECIPE = load_pipeline("digits", preset="cpu").recipe


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    return load_source(RECIPE.source)


def digits_folder(folder: Path, source: Source, **changes: object) -> Path:
    """A dataset of noise that claims to be made from the packaged digits."""
    size, factor = source.info.resolution, RECIPE.distillation.factor
    made = noise_set(source.info.class_names, ipc=IPC, channels=1, side=size, factor=factor)
    write_folder(folder, made)
    about = described(made, dataset=source.info.dataset, is_local=True, fingerprint=source.fingerprint)
    about |= {"seed": SEED, "recipe": RECIPE.model_dump(), **changes}
    (folder / f"ipc{IPC}" / "pipeline.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    return folder


def page_of(folder: Path, **options: object) -> Page:
    return Page(write_report(folder, folder.parent / "page.html", **options).read_text("utf-8"))  # type: ignore[arg-type]


def test_the_start_is_the_one_that_the_run_drew(digits, tmp_path):
    page = page_of(digits_folder(tmp_path / "set", digits))
    found = page.pictures()
    size, factor = digits.info.resolution, RECIPE.distillation.factor
    for c, name in enumerate(digits.info.class_names):
        rows = (digits.train.labels == c).nonzero().flatten()
        drawn = rows[torch.randperm(len(rows), generator=generator(SEED, "start", c))[: IPC * factor**2]]
        expected = (mixed_tiles(digits.train.images[drawn], factor) * 255).round().to(torch.uint8)
        assert torch.equal(two_images(found[f"{name}: {IPC} images, initialisation"], size)[:, :1], expected)
    assert len(found) == 20
    assert "The initialisation (tiles of real images) and the distilled images." in page.text()
    assert "initialisation may differ" not in page.text()


def test_a_source_that_is_another_is_said(digits, tmp_path):
    folder = digits_folder(tmp_path / "set", digits)
    folder.joinpath(f"ipc{IPC}", "pipeline.yaml").write_text(
        folder.joinpath(f"ipc{IPC}", "pipeline.yaml").read_text().replace(digits.fingerprint, "f00d")
    )
    assert "The initialisation may differ" in page_of(folder).text()


@pytest.mark.parametrize(("options", "reason"), [({}, "the source could not be read"), ({"start": False}, None)])
def test_without_its_source_a_page_has_no_start(digits, tmp_path, options, reason):
    folder = digits_folder(tmp_path / "set", digits)
    file = folder / f"ipc{IPC}" / "pipeline.yaml"
    text = file.read_text()
    file.write_text(text.replace(f"dataset: {digits.info.dataset}", "dataset: gone"))
    page = page_of(folder, **options)
    assert len(page.pictures()) == 10
    assert (f"is not shown: {reason}." in page.text()) == bool(reason)
    assert ("is not shown" in page.text()) == bool(reason)


def test_a_source_that_was_named_must_be_there(digits, tmp_path):
    with pytest.raises(NcfmHubError, match="gone"):
        page_of(digits_folder(tmp_path / "set", digits), source=str(tmp_path / "gone"))


def test_of_a_set_that_others_made_no_start_is_known(digits, tmp_path):
    imported = {"file": "x.pt", "sha256": "0" * 64, "soft_labels": False}
    page = page_of(digits_folder(tmp_path / "set", digits, imported=imported))
    assert len(page.pictures()) == 10
    assert "Origin" in page.headings()
    assert "Imported from x.pt" in page.text()
    assert "NCFM" not in page.text()


def test_a_folder_that_a_set_from_a_hub_names_is_not_opened(digits, tmp_path, monkeypatch):
    folder = digits_folder(tmp_path / "set", digits)
    monkeypatch.setattr("ncfm_hub.reporting.gather.locate", lambda *_, **__: folder / f"ipc{IPC}")

    def found(source: str | None):
        return gather("ada/x", source=source, with_start=True, revision=None, token=None, progress=Silent())

    assert found(None).start is None
    assert "a local folder on another machine" in str(found(None).start_note)
    assert found("digits").start is not None
