"""The overview of a card with several distilled datasets."""

import io

from PIL import Image

from ncfm_hub.publishing.cards.card_set import CardSet
from ncfm_hub.publishing.cards.dataset_card import render_cards
from tests.publishing.cards.card_text import FOUR_ROWS, header
from tests.publishing.noise_sets import described, measured, noise_set


def card_set(ipc: int, results: dict, name: str | None = None, **source: object) -> CardSet:
    return CardSet(name or f"ipc{ipc}", described(noise_set(ipc=ipc), **source), results)


def test_a_row_each_with_random_images_and_the_full_training_set_beside():
    one = measured(("random", "hard", 20.0), ("distilled", "hard", 40.0), ("whole", "hard", 80.0))
    sets = [card_set(10, measured(*FOUR_ROWS)), card_set(1, one), card_set(5, {}), card_set(1, one, "seed-1")]
    made = render_cards(sets, repo_id="ada/insects", default="ipc10")
    text = made.card.text()
    rows = [line for line in text.splitlines() if line.startswith(("| configuration", "| `"))]
    assert rows[:5] == [
        "| configuration | IPC | images | labels | n | test acc. % | std | random real images | full training set |",
        "| `ipc1` | 1 | 12 | hard | 5 | 40.0 | 0.3 | 20.0 | 80.0 |",
        "| `ipc5` | 5 | 60 |  |  |  |  |  |  |",
        "| `ipc10` | 10 | 120 | soft | 5 | 63.9 | 0.3 | 39.6 |  |",
        "| `seed-1` | 1 | 12 | hard | 5 | 40.0 | 0.3 | 20.0 | 80.0 |",
    ]
    assert text.count("<summary>") == 8, "a section each, with the settings in another"
    assert 'train = load_dataset("ada/insects", split="train")  # "ipc10"\n' in text
    assert 'train = load_dataset("ada/insects", "ipc1", split="train")\n' in text
    found = header(text)
    assert found["pretty_name"] == "insects distilled by NCFM, 1, 5 and 10 images per class"
    assert found["size_categories"] == ["n<1K"]
    assert [entry["config_name"] for entry in found["configs"] if entry.get("default")] == ["ipc10"]
    assert [info["config_name"] for info in found["dataset_info"]] == [
        f"{name}{part}" for name in ("ipc1", "ipc5", "ipc10", "seed-1") for part in ("", "_stored")
    ]
    assert "do not compare" not in text


def test_accuracies_at_two_numbers_of_images_are_plotted():
    sets = [card_set(1, measured(("distilled", "hard", 40.0))), card_set(10, measured(*FOUR_ROWS))]
    made = render_cards(sets, repo_id=None, default=None)
    assert made.plot is not None
    assert made.plot == render_cards(sets[::-1], repo_id=None, default=None).plot, "the same bytes"
    assert Image.open(io.BytesIO(made.plot)).width > 400
    assert len(made.plot) < 60_000
    assert "](accuracy-over-ipc.png)" in made.card.text()
    alone = render_cards(sets[:1], repo_id=None, default=None)
    assert alone.plot is None
    assert "accuracy-over-ipc" not in alone.card.text()


def test_rows_of_other_protocols_are_said_not_to_compare():
    other = measured(("distilled", "hard", 40.0))
    other["protocol"]["split"] = "validation part of train"
    sets = [card_set(1, other), card_set(10, measured(*FOUR_ROWS))]
    assert "so they do not compare" in render_cards(sets, repo_id=None, default=None).card.text()


def test_licences_that_differ_are_stated_each():
    sets = [card_set(1, {}, license="mit"), card_set(10, {}, dataset="other/insects", license=None)]
    text = render_cards(sets, repo_id=None, default=None).card.text()
    assert header(text)["license"] == "other"
    assert "`some/insects` states the licence `mit`;" in text
    assert "`other/insects` states no licence;" in text
