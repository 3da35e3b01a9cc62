"""HTML reports on distilled datasets: one self-contained file each."""

from ncfm_hub.reporting.report import write_report

__all__ = ["write_report"]
