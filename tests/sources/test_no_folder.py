"""A path that leads nowhere, given where a dataset is expected."""

from pathlib import Path

import pytest

from ncfm_hub.errors import PipelineError
from ncfm_hub.recipes.resolve import load_pipeline


@pytest.mark.parametrize("start", ["./", "../here/", "{here}/"])
def test_a_mistyped_path_names_the_folder_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """`./plian` listed thirteen pipelines."""
    here = tmp_path / "here"
    (here / "plain").mkdir(parents=True)
    monkeypatch.chdir(here)
    start = start.format(here=here)
    with pytest.raises(PipelineError) as caught:
        load_pipeline(f"{start}plian")
    assert str(caught.value) == f"there is no folder {start}plian; did you mean {Path(start) / 'plain'}?"


def test_a_path_to_nothing_like_it_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(
        PipelineError, match=r"there is no folder /no/where/at/all; expected a folder with parquet, or im"
    ):
        load_pipeline("/no/where/at/all")
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(
        PipelineError, match=r"photo\.png is a file; expected a folder with parquet, or images as train/"
    ):
        load_pipeline(str(tmp_path / "photo.png"))
