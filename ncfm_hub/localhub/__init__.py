"""A Hub-compatible server that can be written to: for demos, tests, and labs without internet.

Real clients (`huggingface_hub`, `datasets`, `timm`, the `hf` command) use it through HF_ENDPOINT and HF_TOKEN. It needs
the extra `localhub`. Not served: pull requests, discussions, organisations, buckets, Spaces that run.
"""

from ncfm_hub.localhub.hub import Hub, Role, User
from ncfm_hub.localhub.server import running, serve

__all__ = ["Hub", "Role", "User", "running", "serve"]
