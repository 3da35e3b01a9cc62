"""Plot of a card: test accuracy over images per class (IPC)."""

import io
from collections.abc import Sequence

from ncfm_hub.publishing.cards.overview import OverviewRow

# Colours safe for colour-blind readers (Okabe and Ito), and markers for printing in grey.
_STYLES = {
    "distilled": ("distilled", "#0072B2", "o"),
    "random": ("random real images", "#D55E00", "s"),
    "whole": ("full training set", "0.45", "^"),
}


def draw_plot(rows: Sequence[OverviewRow]) -> bytes:
    """Return a PNG of the rows' accuracies with error bars of one standard deviation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    ordered = sorted(rows, key=lambda row: row.ipc)
    for key, (label, color, mark) in _STYLES.items():
        found = [(row.ipc, accuracy) for row in ordered if (accuracy := getattr(row, key))]
        if found:
            axes.errorbar(
                [ipc for ipc, _ in found],
                [accuracy["mean"] for _, accuracy in found],
                yerr=[accuracy.get("std") or 0 for _, accuracy in found],
                color=color,
                marker=mark,
                linestyle="--" if key == "whole" else "-",
                capsize=3,
                label=label,
            )
    axes.set_xscale("log")
    counts = sorted({row.ipc for row in rows if row.distilled})
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("stored images per class (IPC)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    written = io.BytesIO()
    FigureCanvasAgg(figure).print_png(written, metadata={"Software": None})  # a version would change the bytes
    return written.getvalue()
