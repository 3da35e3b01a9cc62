"""Pull requests, which the Hub lists among discussions: open, list, describe and merge them."""

from typing import Any

from starlette.responses import JSONResponse, Response

from ncfm_hub.localhub.access import may_propose, visible, writable
from ncfm_hub.localhub.pulls import Pull
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.repositories import Repo
from ncfm_hub.localhub.web import Body, Call, Route, member

_PER_PAGE = 50


def list_pulls(call: Call) -> Response:
    """List pull requests, latest first, by type, status (merged ones are closed) and author."""
    repo, author = visible(call), call.argument("author")
    status, kind = call.argument("status") or "all", call.argument("type") or "all"
    found = [
        _described(repo, pull)
        for pull in call.hub.pulls.all(repo.id)
        if kind != "discussion"
        and status in ("all", "closed" if pull.merged else "open")
        and author in ("", pull.author)
    ]
    start = call.number("p", 0, len(found)) * _PER_PAGE
    return JSONResponse({"count": len(found), "start": start, "discussions": found[start : start + _PER_PAGE]})


def open_pull(call: Call) -> Response:
    """Open a pull request without changes; commits to its reference follow."""
    repo, account = may_propose(call)
    data = call.json()
    if not member(data, "pullRequest", bool, False):
        raise HubError(400, "The local hub has no discussions other than pull requests")
    return JSONResponse({"num": call.hub.pulls.open(repo.id, member(data, "title", str), account.name)})


def details(call: Call) -> Response:
    """Describe a pull request, with the files that conflict with `main`."""
    repo = visible(call)
    pull = call.hub.pulls.find(repo.id, call.params["num"])
    changes = {"base": "refs/heads/main", "mergeCommitId": pull.merged}
    conflicts = call.hub.pulls.conflicts(repo.id, pull)
    return JSONResponse({**_described(repo, pull), "events": [], "changes": changes, "filesWithConflicts": conflicts})


def merge(call: Call) -> Response:
    """Merge a pull request into `main`."""
    repo, _ = writable(call)
    call.hub.pulls.merge(repo.id, call.params["num"])
    return JSONResponse({})


def _described(repo: Repo, pull: Pull) -> dict[str, Any]:
    return {
        "num": pull.number,
        "title": pull.title,
        "author": {"name": pull.author},
        "createdAt": pull.created,
        "status": pull.status,
        "isPullRequest": True,
        "repo": {"name": repo.full_name, "type": repo.kind},
    }


ROUTES = [
    Route("GET", "api/{kind}/{space}/{name}/discussions", list_pulls),
    Route("POST", "api/{kind}/{space}/{name}/discussions", open_pull, Body.SMALL),
    Route("GET", "api/{kind}/{space}/{name}/discussions/{num}", details),
    Route("POST", "api/{kind}/{space}/{name}/discussions/{num}/merge", merge, Body.SMALL),
]
