"""Every error becomes one readable line and an exit code, without tokens."""

import errno
import os

import pytest

from ncfm_hub.cli._errors import line_and_code
from ncfm_hub.cli._secrets import remember_secret, scrub
from ncfm_hub.errors import MissingExtra

SECRET = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/x/a.parquet"), "disk full while writing runs/x/a.parq"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk full: free some space"),
        (MemoryError(), "out of memory: use less with --set distillation.images_at_once=N"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "/root/x: Permission denied"),
        (MissingExtra("uvicorn", "localhub"), "pip install 'ncfm-hub[localhub]'"),
        (ModuleNotFoundError("No module named 'timm'"), "No module named 'timm'; install it"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero (HF_DEBUG=1 shows the traceback)"),
    ],
)
def test_known_trouble_has_a_line_of_its_own(error, expected):
    line, code = line_and_code(error)
    assert expected in line
    assert "\n" not in line
    assert code == 1


def test_a_full_disk_says_how_to_resume():
    line, _ = line_and_code(OSError(errno.ENOSPC, "No space left on device"), resume="--resume goes on")
    assert line == "disk full: free some space; --resume goes on"


def test_a_hub_that_does_not_answer_is_named():
    from huggingface_hub import HfApi

    with pytest.raises(Exception, match="refused") as caught:
        HfApi(endpoint="http://127.0.0.1:1").dataset_info("a/b")
    line, code = line_and_code(caught.value)
    assert code == 1
    assert "cannot reach the Hub at http" in line
    assert "HF_ENDPOINT" in line


def test_an_unknown_error_keeps_its_traceback_for_those_who_ask(invoke, library, monkeypatch):
    library.failure = ValueError(f"bug with {SECRET}")
    arguments = ("distill", "--dataset", "cifar10", "--ipc", "1")
    plain = invoke(*arguments)
    assert plain.exit_code == 1
    assert plain.stderr == "Error: ValueError: bug with <token> (HF_DEBUG=1 shows the traceback)\n"
    monkeypatch.setenv("HF_DEBUG", "1")
    debug = invoke(*arguments)
    assert "Traceback (most recent call last)" in debug.stderr
    assert SECRET not in debug.stderr
    assert debug.exit_code == 1


def test_a_token_on_the_command_line_warns_and_is_never_printed(invoke, library):
    given = "odd-looking-token"  # without the usual shape
    library.failure = ValueError(f"GET http://user:{given}@hub/x with Authorization: Bearer {given}")
    result = invoke("distill", "--dataset", "cifar10", "--ipc", "1", "--token", given)
    assert library.call("carry_out")["token"] == given
    assert "prefer HF_TOKEN" in result.stderr
    assert given not in result.output


@pytest.mark.parametrize("before", [None, "another-token"])
def test_a_token_on_the_command_line_reaches_clients_that_take_none(invoke, library, monkeypatch, before):
    found = []
    monkeypatch.setattr(library, "carry_out", lambda *_, **__: found.append(os.environ["HF_TOKEN"]))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if before:
        monkeypatch.setenv("HF_TOKEN", before)
    invoke("distill", "--dataset", "cifar10", "--ipc", "1", "--token", "odd-looking-token")
    assert found == ["odd-looking-token"]
    assert os.environ.get("HF_TOKEN") == before


def test_a_token_in_a_usage_error_is_hidden_too(invoke):
    result = invoke("distill", "--ipc", SECRET)
    assert result.exit_code == 2
    assert SECRET not in result.output
    assert "<token>" in result.stderr


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"tail {SECRET}, end", "tail <token>, end"),
        ("hf_oauth_eyJhbGciOiJFZERTQSJ9.abc-1.x_y", "<token>"),
        ("authorization: Bearer abcdefgh1234", "authorization: Bearer <token>"),
        ("https://ada:pw@hub.example/x", "https://<token>@hub.example/x"),
        ("huggingface_hub.hf_hub_download_something of hf_xet", "huggingface_hub.hf_hub_download_something of hf_xet"),
        ("the bearer understands", "the bearer understands"),
    ],
)
def test_scrub_takes_what_looks_like_a_token_and_nothing_else(text, clean):
    assert scrub(text) == clean


def test_scrub_takes_tokens_of_the_environment_and_those_given(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "from-the-environment")
    remember_secret("given-by-hand")
    assert scrub("from-the-environment given-by-hand") == "<token> <token>"
