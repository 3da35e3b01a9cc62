"""Plot a class-incremental study: accuracy after each step against the number of classes seen."""

from pathlib import Path
from typing import Any

from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.files import whole_file

# Colours safe for colour-blind readers (Okabe and Ito), and markers for printing in grey.
_STYLES = {"distilled": ("#0072B2", "o"), "random": ("#D55E00", "s"), "herding": ("#009E73", "^")}
_MOST_TICKS = 20


def plot_steps(results: dict[str, Any], path: Path) -> None:
    """Plot the content of `continual.json` as PNG: a line per memory, error bars of one standard deviation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    memories, protocol = results["memories"], results["protocol"]
    classes = [step["classes"] for step in memories[0]["steps"]]
    figure = Figure(figsize=(7.2, 4.4), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    shift = 0.008 * classes[-1]  # keeps error bars from overlapping
    for number, memory in enumerate(memories):
        color, mark = _STYLES[memory["memory"]]
        accuracies = [step["accuracy"] for step in memory["steps"]]
        axes.errorbar(
            [count + (number - (len(memories) - 1) / 2) * shift for count in classes],
            [accuracy["mean"] for accuracy in accuracies],
            yerr=[accuracy["std"] or 0 for accuracy in accuracies],
            color=color,
            marker=mark,
            capsize=3,
            label=memory["memory"],
        )
    axes.plot(classes, protocol["chance"], color="0.45", linestyle="--", marker=".", label="chance")
    if len(classes) <= _MOST_TICKS:
        axes.set_xticks(classes)
    axes.set_ylim(0, 102)
    axes.set_xlabel("classes seen so far")
    axes.set_ylabel("top-1 accuracy over the classes seen (%)")
    axes.set_title(_title(results), fontsize="medium", parse_math=False)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    chance, *others = axes.get_legend_handles_labels()[0]  # matplotlib lists plain lines first
    title = f"mean ± std, {protocol['orders']} orders" if protocol["orders"] > 1 else None
    axes.legend(handles=[*others, chance], frameon=False, title=title)
    with whole_file(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def _title(results: dict[str, Any]) -> str:
    memory, protocol = results["memories"][0], results["protocol"]
    stored = counted(memory["stored_per_class"], "stored image")
    return f"{results['set']}: memories of {stored} a class, {protocol['labels']} labels"
