"""Distill image datasets with Neural Characteristic Function Matching and publish them on the Hugging Face Hub.

    import ncfm_hub

    run = ncfm_hub.distill("cifar10", ipc=10)             # a folder that `datasets.load_dataset` reads
    distilled = ncfm_hub.load_distilled(run.folder)       # the same dataset as tensors
    ncfm_hub.push(run.folder)                             # the folder and its card on the Hub

Each name is imported on first use, so that `import ncfm_hub` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ncfm_hub._version import __version__
from ncfm_hub.errors import NcfmHubError

if TYPE_CHECKING:
    from ncfm_hub.api import distill as distill
    from ncfm_hub.api import evaluate as evaluate
    from ncfm_hub.api import plan as plan
    from ncfm_hub.api import plan_pool as plan_pool
    from ncfm_hub.api import pretrain as pretrain
    from ncfm_hub.api import push as push
    from ncfm_hub.api import push_pool as push_pool
    from ncfm_hub.evaluation.continual.study import continual as continual
    from ncfm_hub.evaluation.search.naslib import naslib_datasets as naslib_datasets
    from ncfm_hub.evaluation.search.study import search_architectures as search_architectures
    from ncfm_hub.extractors.pulled import pull_pool as pull_pool
    from ncfm_hub.publishing import Distilled as Distilled
    from ncfm_hub.publishing import load_distilled as load_distilled
    from ncfm_hub.publishing.comparing.diff import diff as diff
    from ncfm_hub.publishing.exchange.exports import export_set as export_set
    from ncfm_hub.publishing.exchange.imports import import_set as import_set
    from ncfm_hub.publishing.pools.listing import list_pools as list_pools
    from ncfm_hub.publishing.pools.listing import show_pool as show_pool
    from ncfm_hub.publishing.verifying.verify import verify as verify
    from ncfm_hub.recipes.resolve import load_pipeline as load_pipeline
    from ncfm_hub.reporting import write_report as write_report
    from ncfm_hub.reproducing.reproduce import plan_reproduction as plan_reproduction
    from ncfm_hub.reproducing.reproduce import reproduce as reproduce
    from ncfm_hub.utils.commit_options import CommitOptions as CommitOptions

_HOMES = {
    "CommitOptions": "ncfm_hub.utils.commit_options",
    "Distilled": "ncfm_hub.publishing",
    "continual": "ncfm_hub.evaluation.continual.study",
    "diff": "ncfm_hub.publishing.comparing.diff",
    "distill": "ncfm_hub.api",
    "evaluate": "ncfm_hub.api",
    "export_set": "ncfm_hub.publishing.exchange.exports",
    "import_set": "ncfm_hub.publishing.exchange.imports",
    "list_pools": "ncfm_hub.publishing.pools.listing",
    "load_distilled": "ncfm_hub.publishing",
    "load_pipeline": "ncfm_hub.recipes.resolve",
    "naslib_datasets": "ncfm_hub.evaluation.search.naslib",
    "plan": "ncfm_hub.api",
    "plan_pool": "ncfm_hub.api",
    "plan_reproduction": "ncfm_hub.reproducing.reproduce",
    "pretrain": "ncfm_hub.api",
    "pull_pool": "ncfm_hub.extractors.pulled",
    "push": "ncfm_hub.api",
    "push_pool": "ncfm_hub.api",
    "reproduce": "ncfm_hub.reproducing.reproduce",
    "search_architectures": "ncfm_hub.evaluation.search.study",
    "show_pool": "ncfm_hub.publishing.pools.listing",
    "verify": "ncfm_hub.publishing.verifying.verify",
    "write_report": "ncfm_hub.reporting",
}

__all__ = [
    "CommitOptions",
    "Distilled",
    "NcfmHubError",
    "__version__",
    "continual",
    "diff",
    "distill",
    "evaluate",
    "export_set",
    "import_set",
    "list_pools",
    "load_distilled",
    "load_pipeline",
    "naslib_datasets",
    "plan",
    "plan_pool",
    "plan_reproduction",
    "pretrain",
    "pull_pool",
    "push",
    "push_pool",
    "reproduce",
    "search_architectures",
    "show_pool",
    "verify",
    "write_report",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
