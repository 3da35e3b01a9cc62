"""YAML and JSON of third parties: what is no mapping is told in one line."""

import pytest
import yaml

from ncfm_hub.errors import DistilledError
from ncfm_hub.utils.mappings import load_yaml, read_mapping


@pytest.mark.parametrize("value", ["!!int ''", "!!float ''", "!!timestamp x", "!!bool x", "!!python/name:os.system"])
def test_a_scalar_that_does_not_fit_its_tag(tmp_path, value):
    (tmp_path / "pipeline.yaml").write_text(f"seed: {value}\n")
    with pytest.raises(DistilledError, match=r"pipeline\.yaml is not YAML") as raised:
        read_mapping(tmp_path / "pipeline.yaml", "YAML")
    assert "\n" not in str(raised.value)


@pytest.fixture(params=["by libyaml", "without it"])
def either_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without it":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.mark.usefixtures("either_loader")
@pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "? "])
def test_what_is_nested_deeper_than_a_stack_is_refused_and_no_crash(opening: str) -> None:
    with pytest.raises(RecursionError, match="it is nested too deeply"):
        load_yaml(opening * 100_000)


@pytest.mark.usefixtures("either_loader")
def test_yaml_is_read_as_safe_load_does() -> None:
    text = "a: [1, 1.5, yes, ~, 2026-01-01]\nb: &b {c: 'd'}\ne: *b\nf: |\n  two\n  lines\n"
    assert load_yaml(text) == yaml.load(text, Loader=yaml.SafeLoader)
    assert load_yaml("a: " + "[" * 90 + "]" * 90)["a"]
    with pytest.raises(ValueError, match=r"it has aliases, `\*name`; write them out"):
        load_yaml(text, aliases=False)
