"""Push digits to a local hub, distill them with the command line, load the result without ncfm_hub."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path("demo-run")
_MARK = ".ncfm-hub-demo"
_CONSUMER = Path(__file__).with_name("consumer.py")
_RESULT, _NAME = "digits-ncfm", "ipc1"
_SHORTENED = ["pool.size=1", "distillation.real_batch=32", "evaluation.updates=60", "evaluation.soft_labels=false"]
_COMMAND = [
    *("distill", "--dataset", "digits", "--ipc", "1", "--preset", "cpu", "--steps", "40"),
    *(word for value in _SHORTENED for word in ("--set", value)),
    "--push",
]
_USERS_OWN = (
    *("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"),
    *("HF_TOKEN", "NCFM_HUB_CONFIG"),
    # Each would be used in place of the folder that HF_HOME names.
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_XET_CACHE", "HF_DATASETS_CACHE", "HF_MODULES_CACHE"),
    *("HF_DATASETS_DOWNLOADED_DATASETS_PATH", "HF_DATASETS_EXTRACTED_DATASETS_PATH"),
)


def main() -> int:
    """Run the demo in ./demo-run; the exit status of what failed first, else 0."""
    start = time.monotonic()
    folder = _empty(FOLDER.resolve())
    os.environ.update(_settings(folder))  # before the Hub's client is imported: it reads them then
    from huggingface_hub import HfApi

    from ncfm_hub.localhub import User, running
    from ncfm_hub.sources import packaged_digits

    with running(folder / "hub", users=[User("demo", "demo-token", "write")]) as hub:
        _say(f"A local hub listens at {hub.url}; its files are in {folder / 'hub'}")
        _say("Putting scikit-learn's handwritten digits on it as demo/digits")
        api = HfApi(endpoint=hub.url, token=hub.token())
        api.create_repo("demo/digits", repo_type="dataset", exist_ok=True)
        api.upload_folder(repo_id="demo/digits", repo_type="dataset", folder_path=packaged_digits())

        child = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token()}
        _say(f"ncfm-hub {' '.join(_COMMAND)}")
        status = subprocess.run([sys.executable, "-m", "ncfm_hub", *_COMMAND], cwd=folder, env=child).returncode
        if status == 0:
            _say("A process that cannot import ncfm_hub loads what was pushed")
            stranger = child | {"HF_HOME": str(folder / "hf-of-a-stranger"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
            status = subprocess.run(_consumer(f"demo/{_RESULT}"), cwd=folder, env=stranger).returncode
    if status == 0:
        _say(f"Done in {time.monotonic() - start:.0f} s")
        print(f"Contact sheet, one row per class: {folder / _RESULT / _NAME / 'preview.png'}")
        print(f"Load the result:\n\n{_loading(folder / _RESULT)}", flush=True)
    return status


def _consumer(repo_id: str) -> list[str]:
    """Return the command that prints a distilled dataset; rows are called as on its card, which it cannot import."""
    from ncfm_hub.publishing.cards.statements import NAMES

    return [sys.executable, "-I", str(_CONSUMER), repo_id, _NAME, json.dumps(NAMES)]


def _loading(result: Path) -> str:
    """Three lines of Python that load a distilled dataset from its folder: the demo's hub is gone when it ends."""
    return f"""\
from datasets import load_dataset
train = load_dataset({str(result)!r}, split="train")
print(train[0]["image"], train[0]["label"], train[0]["soft_label"])"""


def _empty(folder: Path) -> Path:
    """A fresh folder of that name; one that an earlier demo made is replaced, any other is left alone."""
    if folder.exists():
        if not (folder / _MARK).is_file():
            sys.exit(f"Error: {folder} exists and is not of an earlier demo; move it away")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()
    return folder


def _settings(folder: Path) -> dict[str, str]:
    """Environment that keeps the demo apart from the user's own caches, logins, defaults and proxy."""
    for name in _USERS_OWN:
        os.environ.pop(name, None)
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    own = {"HF_HOME": str(folder / "hf"), "NCFM_HUB_CACHE": str(folder / "cache"), "PYTHONPATH": path}
    return own | _past_the_proxy()


def _past_the_proxy() -> dict[str, str]:
    """The user's exceptions from a proxy and this machine, under both names: of the two, clients heed only one."""
    given = [os.environ.get(name, "") for name in ("NO_PROXY", "no_proxy")]
    hosts = [host.strip() for host in ",".join([*given, "127.0.0.1", "localhost"]).split(",")]
    value = ",".join(dict.fromkeys(filter(None, hosts)))
    return {"NO_PROXY": value, "no_proxy": value}


def _say(message: str) -> None:
    print(f"\n==> {message}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
