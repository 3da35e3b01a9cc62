"""Columns are found by what they hold; where that is not enough, the message lists them and names the flag."""

from typing import Any

import pytest
from datasets import ClassLabel, Features, Image, List, Value

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.columns import image_column, label_column

TEN = ClassLabel(names=list("abcdefghij"))
TWENTY = ClassLabel(num_classes=20)


@pytest.mark.parametrize(
    ("features", "found"),
    [
        ({"img": Image(), "label": TEN}, ("img", "label")),
        ({"x": Image(), "id": Value("string"), "what": TEN}, ("x", "what")),  # ClassLabel before text
        ({"x": Image(), "writer": TWENTY, "label": TEN}, ("x", "label")),  # the only usual name
        ({"x": Image(), "species": Value("string")}, ("x", "species")),
        ({"x": Image(), "digit": Value("int64"), "height": Value("float32")}, ("x", "digit")),
        ({"png": Image(), "cls": Value("int64"), "__key__": Value("string")}, ("png", "cls")),  # WebDataset
        ({"x": Image(), "path": Value("string"), "Target": Value("int32")}, ("x", "Target")),
        (
            {"x": Image(), "file": Value("string"), "label": Value("float64")},
            ("x", "label"),
        ),  # of numbers, one missing
        ({"x": Image(), "sick": Value("bool"), "age": Value("float32")}, ("x", "sick")),
        ({"x": Image(), "digit": Value("int64"), "checked": Value("bool")}, ("x", "digit")),
    ],
)
def test_finds_both(features: dict[str, Any], found: tuple[str, str]) -> None:
    typed = Features(features)
    assert (image_column(typed, None, "d"), label_column(typed, None, "d")) == found


def test_several_labels_are_listed_with_types_and_flag() -> None:
    features = Features({"img": Image(), "fine_label": ClassLabel(num_classes=100), "coarse_label": TWENTY})
    with pytest.raises(SourceError) as caught:
        label_column(features, None, "d")
    for part in ("--label-column", "img: Image", "fine_label: ClassLabel of 100", "coarse_label: ClassLabel of 20"):
        assert part in str(caught.value)
    assert label_column(features, "coarse_label", "d") == "coarse_label"


def test_no_or_several_images_are_listed_with_types_and_flag() -> None:
    with pytest.raises(SourceError, match=r"no column that could hold the image.*--image-column.*text: string"):
        image_column(Features({"text": Value("string"), "label": TEN}), None, "d")
    with pytest.raises(SourceError, match=r"several columns.*--image-column.*left: Image, right: Image"):
        image_column(Features({"left": Image(), "right": Image()}), None, "d")
    with pytest.raises(SourceError, match=r"no column that could hold the label.*--label-column"):
        label_column(Features({"img": Image(), "score": Value("float32")}), None, "d")


def test_a_wrong_choice_is_refused() -> None:
    features = Features({"img": Image(), "label": TEN, "score": Value("float32"), "raw": Value("binary")})
    with pytest.raises(SourceError, match="--image-column imgs: no such column; did you mean img"):
        image_column(features, "imgs", "d")
    with pytest.raises(SourceError, match="--image-column label is not an image column"):
        image_column(features, "label", "d")
    with pytest.raises(SourceError, match="--label-column raw cannot be a label column"):
        label_column(features, "raw", "d")
    assert label_column(features, "score", "d") == "score"  # its values tell whether they are whole numbers
    assert image_column(features, "raw", "d") == "raw"  # encoded images that nobody marked as such


@pytest.mark.parametrize(
    "features", [{"tags": List(TEN)}, {"labels": List(Value("string")), "writer": Value("string")}]
)
def test_lists_of_labels_are_refused_by_name(features: dict[str, Any]) -> None:
    typed, name = Features({"x": Image()} | features), next(iter(features))
    message = f"column '{name}' holds lists; multi-label images are not supported"
    for wanted in (None, name):
        with pytest.raises(SourceError, match=message):
            label_column(typed, wanted, "d")
    assert label_column(Features({"x": Image(), "kind": TEN, "boxes": List(Value("int64"))}), None, "d") == "kind"
