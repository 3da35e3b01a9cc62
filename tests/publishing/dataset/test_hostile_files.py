"""Third-party files, odd or hostile: one line about the file, and nothing else."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from ncfm_hub.errors import DistilledError, NcfmHubError, SourceError
from ncfm_hub.evaluation.opening import open_subject
from ncfm_hub.publishing import write_card
from ncfm_hub.publishing.cards.pool_card import write_pool_card
from ncfm_hub.publishing.dataset.png import decode_png, encode_png
from ncfm_hub.publishing.dataset.records import read_pipeline, read_results
from ncfm_hub.publishing.exchange.exports import export_set
from ncfm_hub.publishing.hub import remote
from ncfm_hub.recipes.schema import SourceRecipe
from ncfm_hub.reporting import write_report
from ncfm_hub.sources import load_source
from tests.publishing.noise_sets import noise_set, write_folder
from tests.sources.small_images import plain_image

DEEP_JSON = "[" * 100_000
DEEP_YAML = "a: " + "[" * 2_000
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(10))}]\n" for n in range(1, 9)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    return write_folder(tmp_path / "set", noise_set())


@pytest.mark.slow
@pytest.mark.parametrize(("text", "why"), [(DEEP_YAML, "nested too deeply"), (BOMB, "more than 1,000,000 values")])
def test_a_pipeline_file_that_is_too_deep_or_too_large_is_named(folder: Path, text: str, why: str) -> None:
    (folder / "ipc2" / "pipeline.yaml").write_text(text)
    with pytest.raises(DistilledError, match=f"pipeline.yaml is not YAML: it .*{why}"):
        read_pipeline(folder / "ipc2")


def test_json_that_is_too_deep_is_named(folder: Path) -> None:
    (folder / "ipc2" / "results.json").write_text(DEEP_JSON)
    with pytest.raises(DistilledError, match=r"results\.json is not JSON: it is nested too deeply"):
        read_results(folder / "ipc2")
    (folder / "pool.json").write_text(DEEP_JSON)
    with pytest.raises(DistilledError, match=r"pool\.json is not JSON: it is nested too deeply"):
        write_pool_card(folder)


@pytest.mark.slow
def test_a_card_s_header_that_is_too_deep_is_named(folder: Path) -> None:
    (folder / "README.md").write_text(f"---\n{DEEP_YAML}\n---\n")
    with pytest.raises(DistilledError, match=r"the header of .*README\.md cannot be read"):
        write_card(folder)


def test_a_picture_that_claims_to_be_gigantic_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    png = encode_png(noise_set().images[0].numpy())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DistilledError, match=r"row 3 is not a readable PNG \(Image size \(64 pixels\) exceeds"):
        decode_png(png, (3, 8, 8), "row 3")


SECTIONS = ("source", "recipe", "pool", "machine", "versions", "wall_time_seconds", "parts", "ipc")


@pytest.mark.slow
@pytest.mark.parametrize("value", [None, [], ["x"], "x", 10**30, {"a": 1}], ids=str)
@pytest.mark.parametrize("key", SECTIONS)
def test_whatever_a_section_is_what_reads_the_set_says_one_line(folder: Path, key: str, value: Any) -> None:
    file = folder / "ipc2" / "pipeline.yaml"
    described = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(described | {key: value}, sort_keys=False))
    said = []
    for read in (
        lambda: open_subject(str(folder)),
        lambda: write_card(folder),
        lambda: write_report(folder, folder / "page.html", start=False),
        lambda: export_set(folder, "dd-ranking", folder / "exported"),
    ):
        try:
            read()  # some of them do not need what is wrong
        except NcfmHubError as error:
            said.append(str(error))
    assert not any("\n" in line for line in said)


Write = Callable[..., Path]


@pytest.fixture
def parquet(folder: Path, tmp_path: Path) -> Write:
    """Write a folder of parquet whose splits have row groups of these sizes."""

    def write(**groups: Sequence[int]) -> Path:
        features = Features({"image": ImageFeature(), "label": ClassLabel(names=["a", "b"])})
        rows = {"image": [{"bytes": plain_image(v), "path": None} for v in range(8)], "label": [0, 1] * 4}
        table = Dataset.from_dict(rows, features=features).data.table
        (tmp_path / "made").mkdir()
        for split, sizes in groups.items():
            with pq.ParquetWriter(tmp_path / "made" / f"{split}-00000-of-00001.parquet", table.schema) as writer:
                for size in sizes:
                    writer.write_table(table.slice(0, size))
        return tmp_path / "made"

    return write


def test_parquet_whose_first_row_group_is_empty_is_read(parquet: Write) -> None:
    made = parquet(train=[0, 6], test=[0, 4])
    source = load_source(SourceRecipe(dataset=str(made), resolution=8))
    assert (len(source.train.labels), len(source.test.labels)) == (6, 4)


def test_parquet_without_a_row_is_a_split_without_images(parquet: Write) -> None:
    made = parquet(train=[0], test=[4])
    with pytest.raises(SourceError, match=r"split 'train'.* no .*image"):
        load_source(SourceRecipe(dataset=str(made), resolution=8))


def test_a_readme_without_a_header_says_nothing(parquet: Write, caplog: pytest.LogCaptureFixture) -> None:
    made = parquet(train=[6], test=[4])
    (made / "README.md").write_text("# Mine\n")
    with caplog.at_level(logging.DEBUG, "huggingface_hub"):
        logging.getLogger("huggingface_hub").propagate = True
        load_source(SourceRecipe(dataset=str(made), resolution=8))
    assert "metadata block" not in caplog.text


@pytest.mark.slow
def test_a_readme_whose_header_is_too_deep_is_named(parquet: Write) -> None:
    made = parquet(train=[6], test=[4])
    (made / "README.md").write_text(f"---\n{DEEP_YAML}\n---\n")
    with pytest.raises(SourceError, match=r"the YAML header of its README\.md cannot be read"):
        load_source(SourceRecipe(dataset=str(made), resolution=8))


@pytest.mark.parametrize("value", ["!!bool x", "!!int ''", "!!float ''", "!!timestamp x"])
def test_a_header_whose_value_does_not_fit_its_tag_is_named(folder: Path, parquet: Write, value: str) -> None:
    """In a card of ours, in that of a source, and in a file of a repository."""
    header = f"---\nlicense: {value}\n---\n"
    (folder / "README.md").write_text(header)
    with pytest.raises(DistilledError, match=r"the header of .*README\.md cannot be read"):
        write_card(folder)
    made = parquet(train=[6], test=[4])
    (made / "README.md").write_text(header)
    with pytest.raises(SourceError, match=r"the YAML header of its README\.md cannot be read"):
        load_source(SourceRecipe(dataset=str(made), resolution=8))
    assert remote.mapping_of(f"name: {value}") is None
