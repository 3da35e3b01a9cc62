"""A writable Hub-compatible server, for demos, tests and labs without internet access.

`huggingface_hub`, `datasets`, `timm` and the `hf` CLI use it through HF_ENDPOINT and HF_TOKEN. It needs the extra
`localhub`. Not implemented: discussions other than pull requests, organisations, buckets, running Spaces.
"""

from ncfm_hub.localhub.hub import Hub, Role, User
from ncfm_hub.localhub.server import running, serve

__all__ = ["Hub", "Role", "User", "running", "serve"]
