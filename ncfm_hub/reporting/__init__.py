"""Pages that show distilled sets to people: one HTML file each, with everything it needs inside."""

from ncfm_hub.reporting.report import write_report

__all__ = ["write_report"]
