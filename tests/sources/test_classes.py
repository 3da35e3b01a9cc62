"""Classes: names, order, the filter, and which row belongs where."""

import pyarrow as pa
import pytest

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.classes import classes_of_feature, classes_of_values

ANIMALS = classes_of_feature(["ant", "bee", "cat", "dog"])


def column(values: list[object]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values[:2]), pa.array(values[2:], pa.array(values[:2]).type)])


def test_filter_by_name_and_index_keeps_the_order_given() -> None:
    chosen = ANIMALS.choose(["dog", 0, "2"], "d")
    assert chosen.names == ("dog", "ant", "cat")
    assert chosen.ids == (3, 0, 2)
    assert chosen.positions(column([0, 1, 2, 3, -1]), "w").tolist() == [1, -1, 2, 0, -1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["caat", "dog"], "no class 'caat'; did you mean cat"),
        ([4, 0], r"no class index 4; expected 0 to 3"),
        ([-1, 0], "no class index -1; expected 0 to 3"),
        (["dog", 3], "'dog' appears twice"),
        (["dog"], "leaves 1 class"),
        ([], "leaves 0 class"),
    ],
)
def test_a_wrong_filter_is_refused(wanted: list[str | int], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        ANIMALS.choose(wanted, "d")


def test_two_classes_of_one_name_need_an_index() -> None:
    cranes = classes_of_feature(["crane", "eel", "crane"])
    with pytest.raises(SourceError, match="2 classes are named 'crane'; give the index"):
        cranes.choose(["crane", "eel"], "d")
    assert cranes.choose([2, "eel"], "d").ids == (2, 1)


def test_text_labels_are_sorted() -> None:
    classes = classes_of_values(["pear", "apple", "fig", None])
    assert classes.names == ("apple", "fig", "pear")
    assert classes.positions(column(["pear", "apple", "fig"]), "w").tolist() == [2, 0, 1]
    with pytest.raises(SourceError, match="w, row 1: label plum is not one of the 3 classes"):
        classes.positions(column(["pear", "plum"]), "w")


def test_integer_labels_need_not_be_dense() -> None:
    classes = classes_of_values([30, 7, -1, 30])
    assert classes.names == ("7", "30")
    assert classes.ids == (7, 30)
    assert classes.positions(column([30, -1, 7]), "w").tolist() == [1, -1, 0]


def test_minus_one_is_a_class_where_there_would_be_no_two_without_it() -> None:
    classes = classes_of_values([1, -1])
    assert classes.names == ("-1", "1")
    assert classes.positions(column([1, -1]), "w").tolist() == [1, 0]


def test_rows_without_a_label_have_no_position() -> None:
    assert ANIMALS.positions(column([0, 1, None, -1]), "d").tolist() == [0, 1, -1, -1]
    assert ANIMALS.without_label(column([0, 1, None, -1])) == {"null": 1, "-1": 1}


def test_impossible_labels_are_named_by_row() -> None:
    with pytest.raises(SourceError, match="d, split 'train', row 2: label 9 is not one of the 4 classes"):
        ANIMALS.positions(column([0, None, 9]), "d, split 'train'")
    with pytest.raises(SourceError, match="row 1: label 9 is not one of the 4 classes"):
        ANIMALS.positions(column([0, 9]), "d")


def test_a_part_of_a_name_with_commas_is_told_how_to_name_all_of_it() -> None:
    classes = classes_of_feature(["tench, Tinca tinca", "goldfish, Carassius auratus", "cat"])
    assert classes.choose(["cat", "tench, Tinca tinca"], "animals").names == ("cat", "tench, Tinca tinca")
    with pytest.raises(SourceError, match=r"no class 'Tinca tinca'; the class 'tench, Tinca tinca' has a comma in its"):
        classes.choose(["Tinca tinca", "cat"], "animals")
