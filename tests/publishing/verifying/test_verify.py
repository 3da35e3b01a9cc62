"""`verify` passes what a run writes, and names each kind of damage by the check that it belongs to."""

import io
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, safe_open, save_file

import ncfm_hub
from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import push_folder, write_card
from ncfm_hub.publishing.cards.merging import make_card, parse_card
from ncfm_hub.publishing.verifying.verify import CHECKS
from tests.publishing.noise_sets import noise_set
from tests.publishing.verifying.whole_sets import DATA, figure, inside, whole_set

SHARD = "train-00000-of-00001.parquet"
TENSORS = "distilled.safetensors"
Damage = Callable[[Path], object]


def in_rows(config: str, change: Callable[[list[dict]], object]) -> Damage:
    """Change the rows of a configuration, its types untouched."""

    def damage(folder: Path) -> None:
        path = inside(folder, f"{config}/{SHARD}")
        table = pq.read_table(path)
        rows = table.to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)

    return damage


def in_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        path = inside(folder, TENSORS)
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata()
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
        change(tensors)
        save_file(tensors, path, metadata=metadata)

    return damage


def in_text(name: str, old: str, new: str) -> Damage:
    def damage(folder: Path) -> None:
        text = inside(folder, name).read_text()
        assert old in text
        inside(folder, name).write_text(text.replace(old, new))

    return damage


def in_pipeline(change: Callable[[dict], object]) -> Damage:
    def damage(folder: Path) -> None:
        content = yaml.safe_load(inside(folder, "pipeline.yaml").read_text())
        change(content)
        inside(folder, "pipeline.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    return damage


def in_results(change: Callable[[dict], object]) -> Damage:
    def damage(folder: Path) -> None:
        content = json.loads(inside(folder, "results.json").read_text())
        change(content)
        inside(folder, "results.json").write_text(json.dumps(content))

    return damage


def cut(name: str) -> Damage:
    def damage(folder: Path) -> None:
        data = inside(folder, name).read_bytes()
        inside(folder, name).write_bytes(data[: len(data) // 2])

    return damage


def remove(name: str) -> Damage:
    return lambda folder: inside(folder, name).unlink()


def change_pixel(row: int) -> Callable[[list[dict]], None]:
    def change(rows: list[dict]) -> None:
        pixels = np.array(Image.open(io.BytesIO(rows[row]["image"]["bytes"])))
        pixels[1, 2, 0] ^= 128
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        rows[row]["image"]["bytes"] = buffer.getvalue()

    return change


def swap(column: str, one: int, other: int) -> Callable[[list[dict]], None]:
    def change(rows: list[dict]) -> None:
        rows[one][column], rows[other][column] = rows[other][column], rows[one][column]

    return change


def put(column: str, row: int, value: object) -> Callable[[list[dict]], None]:
    return lambda rows: rows[row].update({column: value})


def other_names(folder: Path) -> None:
    path = inside(folder, f"stored/{SHARD}")
    table = pq.read_table(path)
    metadata = {key: value.replace(b'"bee"', b'"wasp"') for key, value in table.schema.metadata.items()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def doubled(folder: Path) -> None:
    """A shard of a later push beside the old one."""
    data = inside(folder, f"{DATA}/{SHARD}").read_bytes()
    inside(folder, f"{DATA}/train-00000-of-00002.parquet").write_bytes(data)


def better_results(results: dict) -> None:
    """All of one row's numbers, so that they agree among themselves."""
    results["rows"][1]["accuracy"] = figure(99.0)


def invented_row(folder: Path) -> None:
    """A row of the card's table once more, with another number."""
    text = inside(folder, "README.md").read_text()
    line = next(line for line in text.splitlines() if "| 40.0" in line)
    inside(folder, "README.md").write_text(text.replace(line, f"{line}\n{line.replace('40.0', '98.0')}"))


DAMAGES: dict[str, tuple[Damage, set[str], str]] = {
    "a pixel of stored": (in_rows("stored", change_pixel(3)), {"stored images"}, r"1 of 6 images .* first in row 3"),
    "a pixel of default": (in_rows(DATA, change_pixel(7)), {"decoded images"}, r"1 of 24 images .*row 7"),
    "a pixel of the tensors": (
        in_tensors(lambda tensors: tensors["images"][2, 0, 1, 2].bitwise_xor_(128)),
        {"stored images", "decoded images"},
        r"1 of 6 images differ between stored/ and distilled.safetensors, the first in row 2",
    ),
    "swapped labels": (in_rows(DATA, swap("label", 7, 8)), {"labels"}, f"{DATA}/: label of row 7"),
    "swapped labels of stored": (
        in_rows("stored", swap("label", 1, 2)),
        {"labels", "stored images"},
        "stored/: label of row 1",
    ),
    "labels of one class more often": (
        in_rows(DATA, put("label", 8, 0)),
        {"class balance", "labels"},
        "class 'ant' has 9 images and 'bee' has 7",
    ),
    "missing shard": (remove(f"stored/{SHARD}"), {"schema", "counts"}, "stored/ has no train-"),
    "one shard of two": (
        lambda folder: inside(folder, f"{DATA}/{SHARD}").rename(inside(folder, f"{DATA}/train-00000-of-00002.parquet")),
        {"schema"},
        f"{DATA}/ has 1 shard; train-00000-of-00002.parquet says there are 2",
    ),
    "a shard twice": (doubled, {"schema", "counts"}, f"{DATA}/ has 2 shards"),
    "a missing row": (in_rows(DATA, lambda rows: rows.pop()), None, f"{DATA}/ has 23; pipeline.yaml says 24"),
    "a soft label that does not sum to one": (
        in_rows(DATA, put("soft_label", 4, [0.5, 0.25, 0.5])),
        {"soft labels"},
        "soft label of row 4 sums to 1.25; expected 1",
    ),
    "another soft label": (
        in_rows(DATA, put("soft_label", 4, [0.5, 0.25, 0.25])),
        {"soft labels"},
        f"soft label of row 4 differs between {DATA}/ and distilled.safetensors",
    ),
    "a negative soft label": (
        in_rows(DATA, put("soft_label", 4, [1.5, -0.25, -0.25])),
        {"soft labels"},
        "some are negative",
    ),
    "stored_index": (in_rows(DATA, put("stored_index", 5, 0)), {"labels"}, "stored_index of row 5"),
    "tile": (in_rows(DATA, swap("tile", 5, 6)), {"labels"}, f"{DATA}/: tile of row 5"),
    "index": (in_rows("stored", swap("index", 0, 1)), {"labels"}, "stored/: index of row 0"),
    "truncated parquet": (cut(f"{DATA}/{SHARD}"), {"schema"}, f"{DATA}/ cannot be read as parquet"),
    "truncated tensors": (cut(TENSORS), {"schema"}, f"{TENSORS} cannot be read"),
    "class names of a configuration": (other_names, {"class names"}, "stored/ has the classes ant, wasp, cat"),
    "class names of pipeline.yaml": (
        in_pipeline(lambda content: content["source"].update(class_names=["ant", "wasp", "cat"])),
        {"class names"},
        "pipeline.yaml has the classes ant, wasp, cat",
    ),
    "class names of the card": (in_text("README.md", "'1': bee", "'1': wasp"), {"class names"}, r"README.md \(default"),
    "number of images on the card": (
        in_text("README.md", "num_examples: 24", "num_examples: 23"),
        {"counts"},
        "has 23",
    ),
    "ipc": (
        in_pipeline(lambda content: content.update(ipc=3)),
        {"counts", "card"},
        "stored/ has 6; pipeline.yaml says 9",
    ),
    "a number on the card": (in_text("README.md", "| 62.5 |", "| 72.5 |"), {"card"}, r"lacks .*\| 62.5 \|"),
    "a row more on the card": (invented_row, {"card"}, "the generated part was edited by hand"),
    "no card": (remove("README.md"), {"card"}, "there is no README.md"),
    "a mean in results.json": (
        in_results(lambda results: results["rows"][1]["accuracy"].update(mean=90.0)),
        {"results", "card"},
        "mean of accuracy of distilled hard is 90.0; its values give 60.00",
    ),
    "a value in results.json": (
        in_results(lambda results: results["rows"][1]["accuracy"]["values"].pop()),
        {"results"},
        "has n=5 and 4 values",
    ),
    "results of another dataset": (
        in_results(lambda results: results["rows"][1].update(images=240)),
        {"results", "card"},
        "results.json is of 240 distilled images; distilled.safetensors decodes into 24",
    ),
    "better results": (in_results(better_results), {"card"}, r"README.md lacks .* 99.0"),
    "no results": (remove("results.json"), {"results"}, "there is no results.json"),
    "a missing key": (in_pipeline(lambda content: content.pop("pool")), {"provenance"}, "pipeline.yaml lacks pool"),
    "missing keys inside": (
        in_pipeline(lambda content: (content["source"].pop("fingerprint"), content["source"].pop("revision"))),
        {"provenance"},
        "pipeline.yaml lacks source.fingerprint, source.revision",
    ),
    "an unreadable setting": (
        in_pipeline(lambda content: content["recipe"]["pool"].update(size="many")),
        {"provenance"},
        "holds no usable recipe",
    ),
    "no pipeline.yaml": (remove("pipeline.yaml"), {"provenance"}, "it has no pipeline.yaml"),
}


def test_what_a_run_writes_passes(tmp_path):
    verified = ncfm_hub.verify(whole_set(tmp_path / "set"))
    assert verified.ok
    assert [check.name for check in verified.checks] == list(CHECKS)
    assert {check.outcome for check in verified.checks} == {"passed"}
    said = {check.name: check.found for check in verified.checks}
    assert said["counts"] == "6 stored images, 24 decoded: 3 classes, ipc 2, factor 2"
    assert said["results"].startswith("mean and deviation of 3 accuracies")
    assert re.search("[1-9][0-9]* lines of numbers", said["card"])


def beside_another(folder: Path) -> Path:
    """The same, and one measured otherwise: by one student, and beside the full training set."""
    whole_set(folder)
    whole_set(folder, noise_set(ipc=1))
    results = json.loads(inside(folder, "results.json", "ipc1").read_text())
    for row in results["rows"]:
        row["accuracy"] = {"n": 1, "mean": 55.5, "std": None, "values": [55.5]}
    results["rows"].append(results["rows"][0] | {"set": "whole", "accuracy": results["rows"][0]["accuracy"]})
    results["protocol"]["students"] = 1
    inside(folder, "results.json", "ipc1").write_text(json.dumps(results))
    write_card(folder)
    return folder


def test_datasets_that_were_measured_otherwise_pass_beside_each_other(tmp_path):
    """The card's overview has columns for both."""
    verified = ncfm_hub.verify(beside_another(tmp_path / "set"))
    assert verified.ok, verified
    assert len(verified.checks) == 2 * len(CHECKS)


def test_a_number_of_the_overview_alone_is_found(tmp_path):
    folder = beside_another(tmp_path / "set")
    card = parse_card(inside(folder, "README.md").read_text())
    row = next(line for line in card.block.splitlines() if line.startswith("| `ipc2` |"))
    block = card.block.replace(row, row.replace("62.5", "72.5"))
    inside(folder, "README.md").write_text(make_card(card.header, block).text())
    verified = ncfm_hub.verify(folder)
    assert [(check.dataset, check.name) for check in verified.checks if check.outcome == "failed"] == [("ipc2", "card")]
    assert any("README.md lacks what results.json gives: test acc. % 62.5" in check.found for check in verified.checks)


def test_grey_images_without_tiles_pass(tmp_path):
    assert ncfm_hub.verify(whole_set(tmp_path / "set", noise_set(channels=1, factor=1))).ok


def test_an_import_passes_without_results(tmp_path):
    folder = whole_set(tmp_path / "set")
    inside(folder, "results.json").unlink()
    in_pipeline(lambda content: content.update(imported={"file": "x.pt", "sha256": "0" * 64, "soft_labels": True}))(
        folder
    )
    in_pipeline(lambda content: [content.pop(key) for key in ("seed", "pool", "machine", "wall_time_seconds")])(folder)
    verified = ncfm_hub.verify(folder)
    assert {check.name: check.found for check in verified.checks if check.outcome != "passed"}.keys() <= {"card"}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_by_the_check_that_it_belongs_to(tmp_path, kind):
    damage, expected, says = DAMAGES[kind]
    folder = whole_set(tmp_path / "set")
    damage(folder)
    verified = ncfm_hub.verify(folder)
    assert not verified.ok
    assert expected is None or set(verified.failed) == expected, verified
    assert any(re.search(says, check.found) for check in verified.checks if check.outcome == "failed"), verified


def test_every_check_finds_something():
    assert set().union(*(expected or () for _, expected, _ in DAMAGES.values())) == set(CHECKS)


def test_rows_may_have_the_names_of_another_version_and_no_others_names(tmp_path):
    folder = whole_set(tmp_path / "set")
    renamed = parse_card(inside(folder, "README.md").read_text())
    block = renamed.block.replace("| random real images | hard", "| some real images | hard")
    assert block != renamed.block
    inside(folder, "README.md").write_text(make_card(renamed.header, block).text())
    assert ncfm_hub.verify(folder).ok
    in_results(lambda results: [row.update(set="random") for row in results["rows"]])(folder)
    assert "card" in ncfm_hub.verify(folder).failed


def test_what_cannot_be_checked_is_no_pass(tmp_path):
    folder = whole_set(tmp_path / "set")
    inside(folder, TENSORS).unlink()
    verified = ncfm_hub.verify(folder)
    outcomes = {check.name: (check.outcome, check.found) for check in verified.checks}
    assert outcomes["schema"][0] == "failed"
    assert outcomes["stored images"] == ("not checked", f"{TENSORS} could not be read")
    assert outcomes["results"][0] == outcomes["card"][0] == "passed"


HOSTILE: dict[str, Damage] = {
    "an empty folder": lambda folder: [path.unlink() for path in folder.rglob("*") if path.is_file()],
    "YAML that expands": lambda folder: inside(folder, "pipeline.yaml").write_text(
        "a: &a [x, x]\n" + "".join(f"{one}: &{one} [{f'*{before}, ' * 9}]\n" for before, one in pairwise("abcdefghi"))
    ),
    "a header of another kind": lambda folder: inside(folder, "README.md").write_text("---\ndataset_info: 3\n---\n"),
    "nested JSON": lambda folder: inside(folder, "results.json").write_text(
        '{"rows": ' + "[" * 100_000 + "]" * 100_000 + "}"
    ),
    "numbers of another kind": in_results(lambda results: results["rows"][0]["accuracy"].update(values=[{}], n="x")),
    "rows of another kind": in_results(lambda results: results.update(rows=["x", 7, None])),
    "a section of another kind": in_pipeline(lambda content: content.update(recipe=7, source=[1], pool="x")),
    "numbers beyond measure": in_pipeline(lambda content: content.update(ipc=10**400)),
    "no PNG": in_rows("stored", lambda rows: rows[1]["image"].update(bytes=b"GIF89a")),
    "no image": in_rows("stored", lambda rows: rows[1].update(image=None)),
    "no label": in_rows("stored", lambda rows: rows[1].update(label=None)),
    "labels beyond the classes": in_rows(DATA, lambda rows: rows[1].update(label=-(2**60))),
    "other columns": lambda folder: pq.write_table(pa.table({"x": [1]}), inside(folder, f"stored/{SHARD}")),
    "text for images": lambda folder: pq.write_table(
        pa.table({"image": ["x"], "label": ["y"], "index": [[1]]}), inside(folder, f"stored/{SHARD}")
    ),
}


def huge_factor(folder: Path) -> None:
    path = inside(folder, TENSORS)
    about = {"version": 1, "factor": 10**9, "class_names": ["ant", "bee", "cat"]}
    save_file(load_file(path), path, metadata={"ncfm_hub": json.dumps(about)})


def endless_rows(folder: Path) -> None:
    """Rows far beyond the dataset's."""
    table = pq.read_table(inside(folder, f"stored/{SHARD}"))
    one = table.slice(0, 1)
    rows = pa.concat_tables([one] * 1000).combine_chunks()
    with pq.ParquetWriter(inside(folder, f"stored/{SHARD}"), table.schema) as writer:
        for _ in range(50):
            writer.write_table(rows)


def inflated_images(folder: Path) -> None:
    """Images of 8 MB of zeros each in a small file."""
    path = inside(folder, f"stored/{SHARD}")
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        row["image"]["bytes"] = bytes(8_000_000)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 100_000


HOSTILE |= {"a factor beyond measure": huge_factor, "endless rows": endless_rows, "inflated": inflated_images}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_content_is_a_line_and_no_crash(tmp_path, kind):
    folder = whole_set(tmp_path / "set")
    HOSTILE[kind](folder)
    verified = ncfm_hub.verify(folder)
    assert not verified.ok
    assert len(verified.checks) == len(CHECKS)
    for check in verified.checks:
        assert "\n" not in check.found
        assert len(check.found) <= 400


@pytest.mark.parametrize("kind", ["endless rows", "inflated"])
def test_tables_that_cannot_be_of_the_dataset_are_not_read(tmp_path, kind, monkeypatch):
    folder = whole_set(tmp_path / "set")
    HOSTILE[kind](folder)
    read = pq.read_table
    monkeypatch.setattr(
        pq, "read_table", lambda path, **how: pytest.fail("it was read") if "stored" in str(path) else read(path, **how)
    )
    (schema,) = [check for check in ncfm_hub.verify(folder).checks if check.name == "schema"]
    assert re.search(r"stored/ holds [\d,]+ rows of [\d,]+ bytes; expected 6 rows: not read", schema.found)


def test_text_of_strangers_moves_no_cursor(tmp_path):
    folder = whole_set(tmp_path / "set")
    in_pipeline(lambda content: content["source"].update(class_names=["\x1b[31mred", "b", "c"]))(folder)
    assert "\x1b" not in str(ncfm_hub.verify(folder).as_dict())


def test_all_datasets_of_a_folder_are_checked_or_the_one_named(tmp_path):
    root = whole_set(tmp_path / "sets")
    whole_set(root, noise_set(ipc=1, seed=1))
    inside(root, "results.json").unlink()
    verified = ncfm_hub.verify(root)
    assert [check.dataset for check in verified.checks] == ["ipc1"] * len(CHECKS) + ["ipc2"] * len(CHECKS)
    assert {check.dataset for check in verified.checks if check.outcome == "failed"} == {"ipc2"}
    for named in (ncfm_hub.verify(root, "ipc1"), ncfm_hub.verify(root / "ipc1")):
        assert named.ok
        assert {check.dataset for check in named.checks} == {"ipc1"}
    (root / "ipc10" / ".ncfm").mkdir(parents=True)
    assert {check.dataset for check in ncfm_hub.verify(root).checks} == {"ipc1", "ipc2"}, "a run that is not finished"


def test_a_repository_is_checked_at_a_revision(tmp_path, hub, here, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = whole_set(tmp_path / "set")
    first = push_folder(folder, "ada/insects", progress=here)
    assert ncfm_hub.verify("ada/insects").ok
    DAMAGES["a mean in results.json"][0](folder)
    changed = inside(folder, "results.json")
    hub.api().upload_file(
        path_or_fileobj=changed,
        path_in_repo=changed.relative_to(folder).as_posix(),
        repo_id="ada/insects",
        repo_type="dataset",
    )
    assert ncfm_hub.verify("ada/insects").failed == ("results", "card")
    assert ncfm_hub.verify("ada/insects", revision=first.revision).ok
    (row, *_) = ncfm_hub.diff(f"ada/insects@{first.revision}", "ada/insects")["accuracy"]["rows"][1:]
    assert (row["a"], row["b"]) == (60.0, 90.0)


def test_a_target_that_is_nowhere_is_an_error(tmp_path):
    with pytest.raises(DistilledError, match="neither a folder nor a repository id"):
        ncfm_hub.verify(tmp_path / "nothing")
