"""Find the size of a file of pretrained weights before it is read or downloaded."""

from pathlib import Path

_WEIGHTS = (".safetensors", ".bin", ".pth")  # suffixes that timm looks for


def weights_size(place: str) -> int | None:
    """Return the size in bytes of the largest weights file at `local-dir:folder` or `hf-hub:owner/name[@revision]`.

    None if unknown.
    """
    kind, _, name = place.partition(":")
    sizes = _of_folder(Path(name)) if kind == "local-dir" else _of_repository(name)
    return max(sizes, default=None)


def _of_folder(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.glob("*") if path.suffix in _WEIGHTS]


def _of_repository(name: str) -> list[int]:
    from huggingface_hub import HfApi

    from ncfm_hub.utils.hub_errors import expected_errors
    from ncfm_hub.utils.waiting import patient

    repo_id, _, revision = name.partition("@")
    try:
        with patient():
            files = HfApi().model_info(repo_id, revision=revision or None, files_metadata=True).siblings or []
    except expected_errors():  # such as being offline; the error is reported when the weights are fetched
        return []
    return [file.size for file in files if file.size is not None and file.rfilename.endswith(_WEIGHTS)]
