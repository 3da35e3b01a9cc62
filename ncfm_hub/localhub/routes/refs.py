"""Branches, tags and the list of commits."""

from starlette.responses import JSONResponse, PlainTextResponse, Response

from ncfm_hub.localhub import names
from ncfm_hub.localhub.access import visible, writable
from ncfm_hub.localhub.replies import HubError, revision_not_found
from ncfm_hub.localhub.web import Body, Call, Route, member, paged


def refs(call: Call) -> Response:
    """List all branches and tags, with `include_prs` also the references of pull requests."""
    repo = visible(call)
    kinds = [("branches", "branch", "heads"), ("tags", "tag", "tags")]
    kinds += [("pullRequests", "pull", "pr")] * call.flag("include_prs")
    found = {
        plural: [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid}
            for name, oid in call.hub.history.refs(repo.id, kind).items()
        ]
        for plural, kind, folder in kinds
    }
    return JSONResponse({**found, "converts": []})


def commits(call: Call) -> Response:
    """List the commits of a revision, latest first."""
    repo = visible(call)
    oid = call.hub.history.resolve(repo.id, call.params["rev"])
    found = [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.body,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in call.hub.history.line(repo.id, oid)
    ]
    return paged(call, found, 50)


def add_branch(call: Call) -> Response:
    """Create a branch at `startingPoint` or `main`."""
    repo, _ = writable(call)
    name = names.ref_name(call.params["ref"])
    start = member(call.json(), "startingPoint", str, "main")
    if not call.hub.history.add_ref(repo.id, "branch", name, start):
        raise HubError(409, f"Reference already exists: {name}")
    return PlainTextResponse("OK", 201)


def add_tag(call: Call) -> Response:
    """Create a tag at a revision."""
    repo, _ = writable(call)
    name = names.ref_name(member(call.json(), "tag", str))
    if not call.hub.history.add_ref(repo.id, "tag", name, call.params["ref"]):
        raise HubError(409, f"Tag reference already exists: {name}")
    return PlainTextResponse("OK", 201)


def delete_branch(call: Call) -> Response:
    """Delete a branch other than `main`."""
    repo, _ = writable(call)
    if call.params["ref"] == "main":
        raise HubError(403, "The branch 'main' cannot be deleted")
    if not call.hub.history.delete_ref(repo.id, "branch", call.params["ref"]):
        raise revision_not_found(call.params["ref"])
    return PlainTextResponse("OK")


def delete_tag(call: Call) -> Response:
    """Delete a tag."""
    repo, _ = writable(call)
    if not call.hub.history.delete_ref(repo.id, "tag", call.params["ref"]):
        raise revision_not_found(call.params["ref"])
    return PlainTextResponse("OK")


ROUTES = [
    Route("GET", "api/{kind}/{space}/{name}/refs", refs),
    Route("GET", "api/{kind}/{space}/{name}/commits/{rev}", commits),
    Route("POST", "api/{kind}/{space}/{name}/branch/{ref}", add_branch, Body.SMALL),
    Route("DELETE", "api/{kind}/{space}/{name}/branch/{ref}", delete_branch),
    Route("POST", "api/{kind}/{space}/{name}/tag/{ref}", add_tag, Body.SMALL),
    Route("DELETE", "api/{kind}/{space}/{name}/tag/{ref}", delete_tag),
]
