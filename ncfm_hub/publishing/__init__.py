"""Publish a distilled dataset: files, card and contact sheet, pushed to the Hub and verified."""

from ncfm_hub.publishing.cards.dataset_card import render_card, write_card
from ncfm_hub.publishing.cards.pool_card import render_pool_card, write_pool_card
from ncfm_hub.publishing.dataset.contact_sheet import contact_sheet
from ncfm_hub.publishing.dataset.dataset import Distilled, decode_stored, to_pixels
from ncfm_hub.publishing.dataset.loading import load_distilled
from ncfm_hub.publishing.dataset.names import default_repo_id, default_repo_name, slug
from ncfm_hub.publishing.dataset.writing import write_data
from ncfm_hub.publishing.hub.failing import push_command
from ncfm_hub.publishing.hub.permission import check_can_push
from ncfm_hub.publishing.hub.push import Pushed, push_folder

__all__ = [
    "Distilled",
    "Pushed",
    "check_can_push",
    "contact_sheet",
    "decode_stored",
    "default_repo_id",
    "default_repo_name",
    "load_distilled",
    "push_command",
    "push_folder",
    "render_card",
    "render_pool_card",
    "slug",
    "to_pixels",
    "write_card",
    "write_data",
    "write_pool_card",
]
