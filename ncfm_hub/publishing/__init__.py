"""The distilled dataset as others see it: its files, card and contact sheet, pushed to a Hub and read back."""

from ncfm_hub.publishing.dataset import Distilled, decode_stored
from ncfm_hub.publishing.loading import load_distilled
from ncfm_hub.publishing.names import default_repo_id, default_repo_name, slug
from ncfm_hub.publishing.preview import contact_sheet
from ncfm_hub.publishing.writing import write_data

__all__ = [
    "Distilled",
    "contact_sheet",
    "decode_stored",
    "default_repo_id",
    "default_repo_name",
    "load_distilled",
    "slug",
    "write_data",
]
