"""Large files over plain HTTP in the Git LFS protocol: one PUT each, to a URL that carries its own permission."""

from typing import Any

from starlette.responses import JSONResponse, Response

from ncfm_hub.localhub import names
from ncfm_hub.localhub.access import may_propose
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.web import Body, Call, Route, member

_MOST_BYTES = 1 << 42


def batch(call: Call) -> Response:
    """Return, for each announced large file, where to upload it; nothing for files that exist."""
    _, account = may_propose(call)  # clients do not say here that the commit will be a pull request
    data = call.json()
    if member(data, "operation", str) != "upload":
        raise HubError(400, "Only uploads are supported here; download files from their resolve address")
    answers = []
    for item in member(data, "objects", list):
        if not isinstance(item, dict):
            raise HubError(400, "'objects' must be a list of objects")
        sha256, size = names.sha256(member(item, "oid", str)), member(item, "size", int)
        answer: dict[str, Any] = {"oid": sha256, "size": size, "authenticated": True}
        if not (call.hub.history.may_refer(account.name, sha256) and call.hub.objects.large(sha256).is_file()):
            ticket, _ = call.hub.accounts.ticket(f"lfs {sha256}", account.name, size)
            href = f"{call.base_url}/_lfs/{sha256}?ticket={ticket}"
            answer["actions"] = {"upload": {"href": href, "header": {}}}
        answers.append(answer)
    content_type = "application/vnd.git-lfs+json"
    return JSONResponse({"transfer": "basic", "objects": answers}, media_type=content_type)


def _sender(call: Call) -> str:
    """Return the user of the URL's ticket."""
    return call.hub.accounts.redeem(f"lfs {names.sha256(call.params['sha256'])}", call.argument("ticket"))


def _check(call: Call) -> None:
    """Reject before the bytes are read, and accept at most the announced size."""
    _sender(call)
    call.announced = call.hub.accounts.announced(call.argument("ticket"))


def put(call: Call) -> Response:
    """Store a large file."""
    user = _sender(call)
    upload, sha256 = call.upload, call.params["sha256"]
    assert upload is not None
    if upload.sha256 != sha256:
        raise HubError(400, f"The upload has SHA-256 {upload.sha256}, not {sha256}")
    place = call.hub.objects.large(sha256)
    if not place.is_file():
        call.hub.objects.adopt(upload.path, place)
    call.hub.history.uploaded(user, sha256)
    return Response(status_code=200)


ROUTES = [
    Route("POST", "{kind}/{space}/{name}/info/lfs/objects/batch", batch, Body.SMALL),
    Route("PUT", "_lfs/{sha256}", put, Body.FILE, _MOST_BYTES, guard=_check),
]
