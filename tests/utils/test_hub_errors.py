"""A Hub's errors read the same from a source, a push and the command line."""

from types import SimpleNamespace

import pytest
from huggingface_hub import errors

from ncfm_hub.cli._errors import line_and_code
from ncfm_hub.errors import HubUnavailable, HubUnreachable, PublishError, SourceError
from ncfm_hub.publishing.hub.failing import ending_with
from ncfm_hub.sources.lookup import hub_errors
from ncfm_hub.utils.waiting import _http_library

REPO = "ada/x"
WHERE = "https://hub.example"


@pytest.fixture(autouse=True)
def endpoint(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", WHERE)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)


def answer(kind: str, status: int, message: str | None = None, text: str = "server fell over") -> Exception:
    response = SimpleNamespace(status_code=status, headers={}, request=None, url=f"{WHERE}/api/whoami-v2")
    return getattr(errors, kind)(f"{text}\n\n(Request ID: 1)", response=response, server_message=message)


def explained(error: Exception) -> list[str]:
    """The explanations of a source lookup, a push and the command line, without what each advises besides."""
    with pytest.raises(SourceError) as looked_up, hub_errors(REPO):
        raise error
    with pytest.raises(PublishError) as pushed, ending_with("push it again", REPO, None):
        raise error
    line, code = line_and_code(error)
    assert code == 1
    return [
        str(looked_up.value).removesuffix("; or name a local folder"),
        str(pushed.value).removesuffix("; push it again"),
        line,
    ]


LOG_IN = "log in with `hf auth login`"
MISSING = f"{REPO} is not on {WHERE}, or is private: check the name, or {LOG_IN}"
REFUSED = f"{REPO}: {WHERE} refused the token; {LOG_IN}, or correct or unset HF_TOKEN"
KINDS = [
    (answer("GatedRepoError", 403), f"{REPO} is gated: accept its terms on its page at {WHERE}, then {LOG_IN}"),
    (answer("RepositoryNotFoundError", 404), MISSING),
    (answer("RepositoryNotFoundError", 401), MISSING),
    (answer("HfHubHTTPError", 404), MISSING),
    (answer("RepositoryNotFoundError", 401, text="401: Invalid credentials in Authorization header"), REFUSED),
    (answer("HfHubHTTPError", 401), REFUSED),
    (
        answer("RevisionNotFoundError", 404),
        f"{REPO} has no such revision on {WHERE}; name a branch, a tag or a commit",
    ),
    (answer("RemoteEntryNotFoundError", 404, "no file a.bin"), f"{REPO}: the Hub answered 404 (no file a.bin)"),
    (answer("DisabledRepoError", 403), f"{REPO} has been disabled by {WHERE}: its page says why"),
    (
        answer("HfHubHTTPError", 403, "no write access"),
        f"{REPO}: the Hub answered 403 (no write access); "
        f"use a token with access to it (a push needs write access), or {LOG_IN}",
    ),
    (answer("HfHubHTTPError", 500, "fell over"), f"{REPO}: the Hub answered 500 (fell over); try again later"),
    (answer("BadRequestError", 400, "bad header"), f"{REPO}: the Hub answered 400 (bad header)"),
    (
        errors.OfflineModeIsEnabled("offline"),
        f"HF_HUB_OFFLINE is set, so the Hub is not asked for {REPO}; unset it",
    ),
    (errors.LocalTokenNotFoundError("none"), f"{REPO}: no token found; {LOG_IN}, or set HF_TOKEN"),
    (
        errors.HFValidationError("no spaces"),
        f"{REPO} is not a valid repository id (no spaces); expected owner/name",
    ),
    (
        _http_library().ConnectError("refused"),
        f"cannot reach the Hub at {WHERE} (refused); check the network, any proxy and HF_ENDPOINT",
    ),
    (
        _http_library().ReadTimeout("timed out"),
        f"{REPO}: cannot reach the Hub at {WHERE} (timed out); check the network, any proxy and HF_ENDPOINT",
    ),
    (HubUnreachable("cannot reach the Hub at http://a"), "cannot reach the Hub at http://a"),
]


@pytest.mark.parametrize(("error", "expected"), KINDS, ids=lambda given: type(given).__name__)
def test_every_kind_reads_the_same_wherever_it_is_met(error, expected):
    error.repo_id = REPO  # as the client sets it, which is all that the command line knows
    assert explained(error) == [expected] * 3


def test_a_hub_that_kept_failing_is_named_with_the_repository():
    said = "the Hub at http://a kept failing for 120 s (503); try again later"
    assert explained(HubUnavailable(said)) == [f"{REPO}: {said}", f"{REPO}: {said}", said]


def test_an_error_inside_that_of_another_library_is_found():
    outer = RuntimeError("cannot load")
    outer.__cause__ = answer("GatedRepoError", 403)
    assert len(set(explained(outer))) == 2  # the command line knows the address alone
    assert all("is gated: accept its terms" in line for line in explained(outer))


def test_an_error_without_a_repository_names_its_address():
    line, _ = line_and_code(answer("HfHubHTTPError", 500, "fell over"))
    assert line == f"{WHERE}/api/whoami-v2: the Hub answered 500 (fell over); try again later"


def test_tokens_are_left_out():
    token = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"
    assert all(token not in line for line in explained(answer("HfHubHTTPError", 500, f"bad {token}")))
