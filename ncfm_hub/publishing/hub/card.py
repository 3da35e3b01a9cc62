"""The card of a push: of what is pushed and of what the repository holds already, with what people wrote on both."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ncfm_hub.errors import DistilledError, PublishError
from ncfm_hub.publishing.cards.card_set import CardSet
from ncfm_hub.publishing.cards.dataset_card import Rendered, read_card, render_cards
from ncfm_hub.publishing.cards.header import default_of
from ncfm_hub.publishing.cards.merging import Card, merge_cards
from ncfm_hub.publishing.cards.read_set import read_card_set
from ncfm_hub.publishing.dataset.layout import CONFIGS, PIPELINE, PREVIEW, RESULTS, Config, config_of
from ncfm_hub.publishing.dataset.place import SetPlace
from ncfm_hub.publishing.hub.checking import Checked
from ncfm_hub.publishing.hub.remote import Remote, downloaded, mapping_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def card_of_push(api: "HfApi", checked: Checked, remote: Remote, default: str | None) -> Rendered:
    """Return the card of distilled datasets after a push.

    default: the one that is loaded where none is named; None for that of the repository, or else of the folder
    Raises PublishError if what the repository holds cannot be described.
    """
    coming = [read_card_set(SetPlace(checked.root, name)) for name in checked.held]
    there = [_there(api, remote, name) for name in sorted(remote.names - checked.held.keys())]
    names = sorted(one.name for one in (*coming, *there))
    if default is not None and default not in names:
        raise PublishError(
            f"--default {default!r} is none of {', '.join(names)}, as {remote.repo_id} will hold", again=False
        )
    local = read_card(checked.root)
    for card in (remote.card, local):
        default = default or (default_of(card.header) if card else None) or _former_default(card, remote)
    made = render_cards([*coming, *there], repo_id=remote.repo_id, default=default)
    card = merge_cards(made.card, local) if local else made.card
    if remote.card:
        another = not there and any(remote.holds_another(name, held) for name, held in checked.held.items())
        card = merge_cards(card, remote.card, of_another=another)
    return Rendered(card, made.plot)


def _former_default(card: Card | None, remote: Remote) -> str | None:
    """Return the name of the dataset of the former layout, which was loaded where none was named."""
    return remote.former_name if card is remote.card else None


def _there(api: "HfApi", remote: Remote, name: str) -> CardSet:
    """Return what the card states of a distilled dataset that the repository holds."""
    key = remote.key(name)
    start = f"{key}/" if key else ""
    described = remote.described[key]
    results: Mapping[str, Any] | None = {}
    if f"{start}{RESULTS}" in remote.files:
        with downloaded(api, remote.repo_id, remote.repo_type, f"{start}{RESULTS}", remote.head) as path:
            results = mapping_of(path.read_text(encoding="utf-8", errors="replace"))
    if described is None or results is None:
        raise PublishError(
            f"{PIPELINE if described is None else RESULTS} of {name} in {remote.repo_id} cannot be read, and the card "
            "states what is in it; push that one again, or remove its directory",
            again=False,
        )
    found = CardSet(name, described, results, preview=f"{start}{PREVIEW}" in remote.files)
    try:
        render_cards([found], repo_id=None, default=None)
    except DistilledError as error:
        raise PublishError(
            f"{name} in {remote.repo_id} cannot be put on the card: {error}; push that one again", again=False
        ) from error
    return CardSet(name, described, results, _stated_sizes(remote, key, found.rows), found.preview)


def _stated_sizes(
    remote: Remote, key: str | None, rows: Mapping[Config, int]
) -> Mapping[Config, tuple[int, int]] | None:
    """Return (bytes in memory, bytes on disk) as the repository's card states them; None if it does not."""
    infos = remote.card.header.get("dataset_info") if remote.card else None
    sizes: dict[Config, tuple[int, int]] = {}
    for config in CONFIGS:
        name = config_of(key, config) if key else config
        for info in infos if isinstance(infos, list) else []:
            if isinstance(info, dict) and info.get("config_name") == name:
                sizes |= _size(config, info, rows[config])
    return sizes if len(sizes) == len(CONFIGS) else None


def _size(config: Config, info: Mapping[str, Any], rows: int) -> dict[Config, tuple[int, int]]:
    split = info["splits"][0] if isinstance(info.get("splits"), list) and info["splits"] else None
    if not isinstance(split, dict) or split.get("num_examples") != rows:
        return {}
    in_memory, on_disk = split.get("num_bytes"), info.get("download_size")
    return {config: (in_memory, on_disk)} if type(in_memory) is int and type(on_disk) is int else {}
