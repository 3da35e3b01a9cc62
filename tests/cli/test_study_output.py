"""`continual` and `nas` with an output folder that holds another dataset."""

import os

import pytest

from tests.publishing.noise_sets import noise_set, write_folder


@pytest.mark.parametrize("command", ["continual", "nas"])
def test_the_commands_refuse_it_before_anything_is_measured(invoke, monkeypatch, tmp_path, command):
    from ncfm_hub.evaluation.continual import study as continual
    from ncfm_hub.evaluation.search import study as search

    for library in (continual, search):
        monkeypatch.setattr(library, "open_subject", lambda *_, **__: pytest.fail("the set was opened"))
    one, other = (write_folder(tmp_path / str(seed), noise_set(seed=seed)) for seed in (0, 1))
    before = sorted(os.listdir(other))
    result = invoke(command, one, "--output", other)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "holds another distilled dataset" in result.stderr
    assert sorted(os.listdir(other)) == before
