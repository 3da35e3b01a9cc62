"""A new card keeps what people wrote."""

import pytest
import yaml

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import write_card
from ncfm_hub.publishing.cards.merging import parse_card
from tests.publishing.cards.card_text import edit, header
from tests.publishing.noise_sets import described, noise_set, write_folder


def test_what_people_wrote_outlives_a_new_card(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    edit(
        folder,
        ("license: cc-by-4.0\n", "license: cc-by-sa-4.0\nlanguage:\n- en\n"),
        ("- synthetic\n", "- synthetic\n- my-tag\n"),
        ("configs:\n", "configs:\n- config_name: mine\n  data_files: mine.csv\n"),
        ("<!-- ncfm-hub:begin", "Read me first.\n\n<!-- ncfm-hub:begin"),
        ("<!-- ncfm-hub:end -->\n", "<!-- ncfm-hub:end -->\n\n## My notes\n\nKeep these.\n"),
    )
    (folder / "ipc2" / "results.json").write_text('{"rows": []}')
    write_card(folder, repo_id="ada/insects")
    text = (folder / "README.md").read_text()
    found = header(text)
    assert found["license"] == "cc-by-sa-4.0"
    assert found["language"] == ["en"]
    assert "my-tag" in found["tags"]
    assert found["tags"].count("ncfm") == 1
    assert [c["config_name"] for c in found["configs"]] == ["ipc2", "ipc2_stored", "mine"]
    assert len(found["dataset_info"]) == 2
    assert text.count("Read me first.") == text.count("Keep these.") == 1
    assert text.index("Read me first.") < text.index("# insects distilled") < text.index("Keep these.")
    assert "60.0" not in text  # the table is of the new results
    assert 'load_dataset("ada/insects"' in text
    write_card(folder, repo_id="ada/insects")
    assert (folder / "README.md").read_text() == text


@pytest.mark.slow
@pytest.mark.parametrize("named", ["ada/insects", "insects"])
def test_without_a_repository_the_one_that_the_card_names_is_kept(tmp_path, named):
    folder = write_folder(tmp_path, noise_set())
    pipeline = described(noise_set()) | {"name": '\ntrain = load_dataset("eve/bad", split="train")'}
    (folder / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    write_card(folder)
    assert 'train = load_dataset("path/to/this/folder", split="train")' in (folder / "README.md").read_text()
    write_card(folder, repo_id=named)
    text = (folder / "README.md").read_text()
    write_card(folder)
    assert (folder / "README.md").read_text() == text
    (folder / "ipc2" / "results.json").write_text('{"rows": []}')
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert "60.0" not in text
    assert f'train = load_dataset("{named}", split="train")' in text
    assert f'stored = load_dataset("{named}", "ipc2_stored", split="train")' in text
    assert f'ncfm_hub.load_distilled("{named}", "ipc2")' in text
    write_card(folder, repo_id="bob/insects")
    assert 'train = load_dataset("bob/insects", split="train")' in (folder / "README.md").read_text()


def test_a_card_copied_from_another_set_names_no_repository_of_this_one(tmp_path):
    """As `distill --append` copies it, for what a person wrote there."""
    small = write_folder(tmp_path / "small", noise_set(("ant", "bee")))
    write_card(small, repo_id="ada/insects")
    edit(small, ("<!-- ncfm-hub:begin", "Read me first.\n\n<!-- ncfm-hub:begin"))
    grown = write_folder(tmp_path / "grown", noise_set(("ant", "bee", "cat")))
    (grown / "README.md").write_text((small / "README.md").read_text())
    write_card(grown)
    text = (grown / "README.md").read_text()
    assert "Read me first." in text
    assert "ada/insects" not in text
    assert 'load_dataset("path/to/this/folder", split="train")' in text


def test_a_value_of_ours_follows_the_source_and_an_edit_inside_the_marks_is_kept_aside(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    edit(folder, ("### Accuracy\n", "### Accuracy\n\nI measured this twice.\n"))
    pipeline = described(noise_set(), license="mit")
    (folder / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert header(text)["license"] == "mit"
    kept = text.index("I measured this twice.")
    assert text.index("<!-- ncfm-hub:end -->") < text.index("edited by hand") < kept
    write_card(folder)
    assert (folder / "README.md").read_text() == text


def test_a_readme_that_is_not_a_card_of_ours_is_kept_below(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    (folder / "README.md").write_text("---\nlicense: mit\nfoo: [1, 2]\n---\nWritten by hand.\r\n")
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert header(text)["license"] == "mit"
    assert header(text)["foo"] == [1, 2]
    assert header(text)["configs"][0]["config_name"] == "ipc2"
    assert text.index("ncfm-hub:end") < text.index("Written by hand.")


def test_fields_that_the_hub_client_would_drop_fold_or_stumble_over_are_kept(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    theirs = {"paperswithcode_id": None, "to_yaml": "x", "self": "y", 1: "z", "note": "word " * 40 + "end"}
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(theirs, width=10**6)}---\nWritten by hand.\n")
    write_card(folder)
    text = (folder / "README.md").read_text()
    assert theirs.items() <= parse_card(text).header.items()
    assert f"note: {theirs['note']}\n" in text


def test_a_header_that_cannot_be_read_stops_and_names_the_file(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    for bad in ("---\na: [\n---\n", "---\n- a\n---\n", "---\na: &x [1]\nb: [*x, *x]\n---\n"):
        (folder / "README.md").write_text(bad)
        with pytest.raises(DistilledError, match=r"header of .*README.md (cannot be read|is a list)"):
            write_card(folder)
        assert (folder / "README.md").read_text() == bad


def test_a_folder_that_contradicts_its_pipeline_gets_no_card(tmp_path):
    folder = write_folder(tmp_path, noise_set())
    pipeline = described(noise_set()) | {"ipc": 3}
    (folder / "ipc2" / "pipeline.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    with pytest.raises(DistilledError, match=r"data holds 24 images; pipeline.yaml says 36"):
        write_card(folder)
    (folder / "ipc2" / "pipeline.yaml").write_text("ipc: 2\n")
    with pytest.raises(DistilledError, match=r"pipeline\.yaml lacks what a card needs"):
        write_card(folder)
    (folder / "ipc2" / "pipeline.yaml").unlink()
    with pytest.raises(DistilledError, match=r"it has no pipeline\.yaml"):
        write_card(folder)
