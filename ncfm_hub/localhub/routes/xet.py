"""Large files in the Xet protocol: first blocks, then a shard that describes how files consist of them.

Complete files are assembled when the shard arrives and stored by SHA-256 like all large files, so that downloads are
plain HTTP. Blocks are kept, since clients reference blocks they have sent instead of sending them again.
"""

import hashlib
from pathlib import Path

from starlette.responses import JSONResponse, Response

from ncfm_hub.localhub import names
from ncfm_hub.localhub.access import may_commit, readable
from ncfm_hub.localhub.replies import HubError
from ncfm_hub.localhub.web import Body, Call, Route
from ncfm_hub.localhub.xet import ShardFile, run_chunks, shard_files

_MOST_BYTES = 128 << 20  # clients stop at 64 MiB


def write_token(call: Call) -> Response:
    """Return permission to upload, for the client's Xet part, which never receives the user's token."""
    _, account = may_commit(call)
    return _token(call, "xet", account.name)


def read_token(call: Call) -> Response:
    """Return permission to read; nothing is served over Xet, but clients may ask."""
    readable(call)
    return _token(call, "xet-read", "")


def _token(call: Call, purpose: str, user: str) -> Response:
    ticket, ends = call.hub.accounts.ticket(purpose, user)
    url = f"{call.base_url}/_cas"
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": ticket, "X-Xet-Token-Expiration": str(ends)}
    return JSONResponse({"casUrl": url, "accessToken": ticket, "exp": ends}, headers=headers)


def _sender(call: Call) -> str:
    """Return the user of the ticket sent in place of a token."""
    return call.hub.accounts.redeem("xet", call.headers.get("authorization", "").removeprefix("Bearer "))


def put_xorb(call: Call) -> Response:
    """Store a block of chunks."""
    place = call.hub.objects.xorb(_sender(call), call.params["hash"])
    new = not place.is_file()
    assert call.upload is not None
    call.hub.objects.adopt(call.upload.path, place)
    return JSONResponse({"was_inserted": new})


def put_shard(call: Call) -> Response:
    """Assemble the files described by a shard from their blocks."""
    user = _sender(call)
    assert call.upload is not None
    with open(call.upload.path, "rb") as shard:
        for file in shard_files(shard):
            place = call.hub.objects.large(file.sha256)
            if not (call.hub.history.may_refer(user, file.sha256) and place.is_file()):
                _assemble(call, user, file, place)
            call.hub.history.uploaded(user, file.sha256)
    return JSONResponse({"result": 1})


def _assemble(call: Call, user: str, file: ShardFile, place: Path) -> None:
    """Write one file and verify its hash."""
    call.hub.announced.check(user, sum(run.size for run in file.runs))
    digest = hashlib.sha256()
    with call.hub.objects.scratch() as path:
        with open(path, "xb") as whole:
            for run in file.runs:
                block = call.hub.objects.xorb(user, run.xorb)
                if not block.is_file():
                    raise HubError(400, f"Block {run.xorb} was not uploaded here; clear the client's Xet cache")
                with open(block, "rb") as xorb:
                    for chunk in run_chunks(xorb, run):
                        whole.write(chunk)
                        digest.update(chunk)
        if digest.hexdigest() != file.sha256:
            raise HubError(400, f"The blocks have SHA-256 {digest.hexdigest()}, not {file.sha256}")
        if not place.is_file():
            call.hub.objects.adopt(path, place)


def put_xorb_guard(call: Call) -> None:
    """Reject before the bytes are read."""
    _sender(call)
    names.sha256(call.params["hash"])


ROUTES = [
    Route("GET", "api/{kind}/{space}/{name}/xet-write-token/{rev}", write_token),
    Route("GET", "api/{kind}/{space}/{name}/xet-read-token/{rev}", read_token),
    Route("POST", "_cas/v1/xorbs/default/{hash}", put_xorb, Body.FILE, _MOST_BYTES, guard=put_xorb_guard),
    Route("POST", "_cas/v1/shards", put_shard, Body.FILE, _MOST_BYTES, guard=_sender),
]
