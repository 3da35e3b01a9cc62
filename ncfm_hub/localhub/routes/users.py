"""The caller's identity and repositories; card validation; fault injection."""

import hashlib
from typing import Any

from starlette.responses import JSONResponse, Response

from ncfm_hub.localhub import cards
from ncfm_hub.localhub.access import known_caller
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.web import Body, Call, Route, member, paged


def whoami(call: Call) -> Response:
    """Return the user and role of a token."""
    account = known_caller(call)
    token = {"displayName": "local hub", "role": account.role, "createdAt": "2020-01-01T00:00:00.000Z"}
    user: dict[str, Any] = {
        "type": "user",
        "id": hashlib.sha256(account.name.encode()).hexdigest()[:24],
        "name": account.name,
        "fullname": account.name,
        "email": None,
        "emailVerified": True,
        "isPro": False,
        "orgs": [],
        "avatarUrl": "",
        "auth": {"type": "access_token", "accessToken": token},
    }
    return JSONResponse(user)


def own_repositories(call: Call) -> Response:
    """List the caller's repositories with the size of their latest files."""
    account = known_caller(call)
    found = []
    for repo in call.hub.repositories.all():
        if repo.namespace != account.name:
            continue
        oid = call.hub.history.resolve(repo.id, "main")
        item = {
            "id": repo.full_name,
            "type": repo.kind,
            "updatedAt": call.hub.history.commits(repo.id)[oid].date,
            "visibility": "private" if repo.private else "public",
            "storage": sum(file.size for file in call.hub.history.tree(repo.id, oid).values()),
        }
        found.append(item)
    return paged(call, found, 1000)


def validate_yaml(call: Call) -> Response:
    """Return whether a card's header is valid."""
    try:
        header = cards.parse_header(member(call.json(), "content", str))
    except cards.CardError as error:
        return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
    warnings = [] if header else [{"message": "empty or missing yaml metadata in repo card"}]
    return JSONResponse({"errors": [], "warnings": warnings})


def add_fault(call: Call) -> Response:
    """Make coming requests fail, if the hub was started with `allow_faults`."""
    if not call.hub.faults.allowed:
        raise HubError(404, "The local hub has no such address")
    rule = call.json()
    fault = rule.get("fault")
    if not isinstance(fault, int | str):
        raise HubError(400, "'fault' must be an HTTP status or the name of a fault")
    call.hub.faults.add(
        member(rule, "method", str), member(rule, "contains", str), fault, member(rule, "times", int, 1)
    )
    return JSONResponse({})


ROUTES = [
    Route("GET", "api/whoami-v2", whoami),
    Route("GET", "api/settings/repositories", own_repositories),
    Route("POST", "api/validate-yaml", validate_yaml, Body.SMALL),
    Route("POST", "_faults", add_fault, Body.SMALL),
]
