"""No text in a dataset becomes markup or template code on its card."""

import copy
import functools
import operator
import re
from typing import Any

import pytest
from huggingface_hub import DatasetCard

from ncfm_hub.errors import DistilledError
from ncfm_hub.publishing import render_card
from ncfm_hub.publishing.cards.escaping import code, fenced, inline, literal, web_address
from tests.publishing.cards.card_text import FOUR_ROWS, body_without_code, card, grown, header
from tests.publishing.noise_sets import NASTY, described, measured, noise_set, write_folder

EVIL = "{{ 7*7 }} {% for %} | </div><script>x</script> `c` [l](javascript:1) ![i](http://t) *b* <!-- ncfm-hub:end -->"


def test_data_never_become_markup_or_template():
    evil = EVIL + "\n# h"
    citation = evil + "\n```\n<script>\n````\n# h"
    pipeline = described(noise_set(NASTY), license=evil, citation=citation, dataset=evil, notes=[evil], config=evil)
    pipeline["name"] = pipeline["preset"] = pipeline["created"] = evil
    pipeline["machine"]["description"] = pipeline["recipe"]["pool"]["backbone"] = evil
    pipeline["pool"] = {"architecture": evil, "members": 3, "origin": evil, "key": evil, "pretrained": evil}
    results = measured((evil, evil, 1.0), ("distilled", "hard", 2.0))
    results["protocol"] |= {"metric": evil, "split": evil, "student": evil}
    results["pool"] = {"members": [{"accuracy": {evil: 1.0}}]}
    text = render_card(pipeline, results, repo_id=None)
    assert "49" not in re.sub(r"=[0-9a-f]{12}", "", text)  # digests apart
    assert header(text)["license"] == "other"
    markup = body_without_code(text)
    for sign in ("<script", "</div", "](javascript", "](http", "`", "*b*", "\n# h"):
        assert sign not in markup, sign
    tags = {tag for tag in re.findall(r"<[^>]*>", markup) if not tag.startswith("<!-- ncfm-hub:")}
    assert tags == {"<details>", "</details>", "<summary>", "</summary>"}
    assert DatasetCard(text).text.count("<!-- ncfm-hub:end -->") == 1
    assert text.rstrip().endswith("<!-- ncfm-hub:end -->")
    widths = {line.count("|") for line in markup.splitlines() if line.startswith("| source |")}
    assert widths == {3}


def leaves(tree: Any, path: tuple = ()) -> list[tuple]:
    """The path of each value in nested mappings and lists."""
    if isinstance(tree, dict | list) and tree:
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [leaf for key, value in items for leaf in leaves(value, (*path, key))]
    return [path]


@pytest.mark.slow
def test_no_value_of_the_two_files_becomes_markup():
    """Each in turn is what someone who offers a folder for publishing may have put there."""
    pipeline, results = grown()
    results["pool"] = {"members": [{"accuracy": {"0.0": 74.25}}], "measured_on": {"split": "test", "images": 9}}
    results["distillation"] |= {"first": {"ncfd": 5.0, "loss": 6.0}, "last": {"ncfd": 3.0, "loss": 4.0}, "floor": 2.0}
    pipeline["source"] |= {"citation": "@misc{x}", "notes": ["a note"]}
    pipeline["source"] |= {"license_name": "x", "license_link": "https://h.org"}
    pipeline["pool"] = {"architecture": "convnet3", "members": 3, "origin": "cache", "key": "k", "pretrained": "p"}
    pipeline |= {"versions": {"torch": "2"}, "created": "today"}
    pipeline["recipe"]["distillation"] |= {"bank": 5, "bank_seed": 1, "matching": "characteristic"}
    files = {"pipeline": pipeline, "results": results}
    shown = 0
    for path in leaves(files):
        changed = copy.deepcopy(files)
        functools.reduce(operator.getitem, path[:-1], changed)[path[-1]] = "<img src=x>"
        try:
            body = body_without_code(render_card(changed["pipeline"], changed["results"], repo_id=None))
        except DistilledError:
            continue  # not the type that a card is written from
        assert "<img" not in body, path
        shown += "img src=x" in body
    assert shown > 20


def test_counts_of_a_foreign_protocol_are_escaped():
    results = measured(*FOUR_ROWS)
    results["protocol"] |= {"distillations": "<b>1</b>", "students": "<img src=x>"}
    text = card(results)
    assert "&#60;b&#62;1&#60;/b&#62; distillations x &#60;img src=x&#62; evaluation networks (students)" in text
    assert not {"<img", "<b>"} & set(re.findall(r"<\w+>?", text))


def test_class_names_survive_in_the_header_and_in_the_text(tmp_path):
    folder = write_folder(tmp_path, noise_set(NASTY))
    text = (folder / "README.md").read_text()
    names = header(text)["dataset_info"][0]["features"][1]["dtype"]["class_label"]["names"]
    assert list(names.values()) == list(NASTY)
    assert "{{ 7&#42;7 }}" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name", "plain name"),
        ("aquarium_fish", "aquarium_fish"),
        ("_x_", "&#95;x&#95;"),
        ("a|b<c>&`d`", "a&#124;b&#60;c&#62;&#38;&#96;d&#96;"),
        ("one\r\n\ttwo\x00\u2028three", "one two three"),
        ("left\u202eright", "leftright"),
        ("猫 ünïcode", "猫 ünïcode"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_inline_text(text, shown):
    assert inline(text) == shown


def test_code_fences_and_literals_cannot_be_left():
    assert code("some/name-1.0") == "`some/name-1.0`"
    assert "`" not in code("a`b")
    block = fenced("a\n`````\nb")
    assert block.splitlines()[0] == "``````"
    assert literal('x"`\n') == '"x\\"\\u0060\\n"'


@pytest.mark.slow
def test_name_and_link_of_a_licence_never_become_markup():
    text = card(license="other", license_name=EVIL, license_link="https://h.org/<script>`|](x)'\"&lt;")
    address = "https://h.org/%3Cscript%3E%60%7C%5D%28x%29%27%22&lt%3B"
    assert header(text)["license_link"] == address
    markup = body_without_code(text).replace(f"<{address}>", "")
    for sign in ("<script", "</div", "](javascript", "](http", "](x", "`", "h.org"):
        assert sign not in markup, sign
    links = ("javascript:alert(1)", "LICENSE", "//h.org", "https://", "https:///x", "https://a b", 7, ["https://h.org"])
    for link in links:
        text = card(license="other", license_link=link)
        assert "license_link" not in header(text)
        assert "states the licence `other`; this dataset" in text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://h.org/a%20b", "https://h.org/a%20b"),
        (" HTTP://h.org\n", "HTTP://h.org"),
        ("https://h.org/é", "https://h.org/%C3%A9"),
        ("https://h.org/\u202ex", "https://h.org/%E2%80%AEx"),
        ("https://h.org/\nx", None),
        ("ftp://h.org", None),
        ("https://h.org/" + "x" * 1000, None),
        (None, None),
    ],
)
def test_web_addresses(text, address):
    assert web_address(text) == address
