"""Unknown options, and class names with commas."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("distill --channels 3", "there is no option --channels; did you mean --set source.channels=VALUE?"),
        ("distill --setp 5", "there is no option --setp; did you mean --set?"),
        ("distill --clases cat", "there is no option --clases; did you mean --classes?"),
        ("pretrain --batch_size 3", "did you mean --set pool.batch_size=VALUE or --set evaluation.batch_size=VALUE?"),
        ("pretrain --pool.epochs 3", "there is no option --pool.epochs; did you mean --set pool.epochs=VALUE?"),
        ("distill --chanels 1", "there is no option --chanels; did you mean --set source.channels=VALUE?"),
        ("evaluate x --batch-size 3", "did you mean --set evaluation.batch_size=VALUE?"),
        ("evaluate x --student 3", "there is no option --student; did you mean --students?"),
        ("nas x --precision fp32", "there is no option --precision; did you mean --set engine.precision=VALUE?"),
        ("continual x --order 3", "there is no option --order; did you mean --orders?"),
        ("push x --privat", "there is no option --privat; did you mean --private?"),
        ("preview x --revison y", "there is no option --revison; did you mean --revision?"),
        ("report x --pth y", "there is no option --pth"),
        ("export x --fromat y", "there is no option --fromat; did you mean --format"),
        ("import x --factr 2", "there is no option --factr; did you mean --factor?"),
        ("localhub --prot 3", "there is no option --prot; did you mean"),
        ("pipelines show --fromat json x", "there is no option --fromat; did you mean --format"),
        ("env --josn", "there is no option --josn"),
        ("distill --frobnicate", "there is no option --frobnicate\n"),
    ],
)
def test_an_option_that_there_is_not_is_told_the_nearest(invoke: Any, arguments: str, said: str) -> None:
    result = invoke(*arguments.split())
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("cat,dog,3", ["cat", "dog", "3"]),
        ('"tench, Tinca tinca", cat', ["tench, Tinca tinca", "cat"]),
        ('cat,"tench, Tinca tinca"', ["cat", "tench, Tinca tinca"]),
        ('"the ""big"" one, blue",o\'brien,5" disk', ['the "big" one, blue', "o'brien", '5" disk']),
        (" cat , dog ", ["cat", "dog"]),
    ],
)
def test_a_class_name_with_a_comma_is_put_in_double_quotes(
    invoke: Any, library: Any, given: str, names: list[str]
) -> None:
    assert invoke("distill", "--dataset", "cifar10", "--ipc", 1, "--classes", given, "--dry-run").exit_code == 0
    assert library.call("plan")["overrides"]["source.classes"] == names


@pytest.mark.parametrize("given", ["cat,,dog", '"cat,dog', "", "cat\ndog", '"a"b,c'])
def test_what_is_no_list_of_classes_is_refused(invoke: Any, given: str) -> None:
    result = invoke("distill", "--dataset", "cifar10", "--ipc", 1, "--classes", given)
    assert result.exit_code == 2
    assert "quote a name that contains a comma" in result.stderr
