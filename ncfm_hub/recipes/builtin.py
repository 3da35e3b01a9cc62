"""The built-in pipelines by name. Imports nothing heavy: a shell asks for the names whenever somebody presses TAB."""

from ncfm_hub.utils.resources import data_folder

DEFAULTS = "defaults"  # the file that every pipeline starts from


def pipeline_names() -> list[str]:
    """Return the names of the built-in pipelines, sorted."""
    return sorted(path.stem for path in data_folder("pipelines").glob("*.yaml") if path.stem != DEFAULTS)
