"""YAML and JSON of third parties: what is no mapping is told in one line."""

import pytest

from ncfm_hub.errors import DistilledError
from ncfm_hub.utils.mappings import read_mapping


@pytest.mark.parametrize("value", ["!!int ''", "!!float ''", "!!timestamp x", "!!bool x", "!!python/name:os.system"])
def test_a_scalar_that_does_not_fit_its_tag(tmp_path, value):
    (tmp_path / "pipeline.yaml").write_text(f"seed: {value}\n")
    with pytest.raises(DistilledError, match=r"pipeline\.yaml is not YAML") as raised:
        read_mapping(tmp_path / "pipeline.yaml", "YAML")
    assert "\n" not in str(raised.value)
