"""Report an architecture search: Markdown tables and a scatter plot from the content of `nas.json`."""

from pathlib import Path
from typing import Any

from ncfm_hub.publishing.dataset.layout import SEARCH
from ncfm_hub.utils.counting import counted
from ncfm_hub.utils.files import whole_file, write_study, write_text

_COLOURS = {"distilled": "#0072B2", "random": "#D55E00"}  # Okabe and Ito: safe for colour-blind readers
_MARKERS = {"distilled": "o", "random": "^"}
PROXIES = {"distilled": "distilled images", "random": "random real images"}
_, TABLE, PLOT = FILES = (SEARCH, "nas.md", "nas.png")
Figures = dict[str, Any]


def write_search(folder: Path, found: Figures) -> Path | None:
    """Write nas.json, nas.md and nas.png; returns the new name of an earlier search's nas.json, None without one."""
    earlier = write_study(folder, FILES, found)
    text = "\n".join([*agreement_lines(found), "", *architecture_lines(found)])
    write_text(folder / TABLE, text + "\n")
    draw_scatter(found, folder / PLOT)
    return earlier


def agreement_lines(found: Figures) -> list[str]:
    """Format the proxies as a Markdown table with an explanation."""
    protocol, whole = found["protocol"], found["seconds"]["whole"]
    tops = list(found["agreement"]["distilled"]["regret"])
    lines = [
        "| proxy | Spearman | Kendall |" + "".join(f" regret of its top {k} |" for k in tops) + " time |",
        "|---|---|---|" + "---|" * len(tops) + "---|",
    ]
    for name, figures in found["agreement"].items():
        regrets = [f"{figures['regret'][k]:.1f}" if "regret" in figures else "" for k in tops]
        seconds = found["seconds"].get(name)
        time = "" if seconds is None else f"{seconds:.0f} s of {whole:.0f} s ({_share(seconds, whole)})"
        cells = [PROXIES.get(name, name), _bounded(figures["spearman"]), _bounded(figures["kendall"]), *regrets, time]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{counted(len(found['architectures']), 'architecture')} sampled from {protocol['drawn_from']}, "
        f"{counted(protocol['students'], 'evaluation network')} of each, hard labels; "
        f"{counted(protocol['proxy_updates'], 'update')} on a proxy, {protocol['whole_updates']} on the full training "
        f"set. Tested on {counted(protocol['test_images'], 'image')} of the {protocol['split']}. In brackets: 95 % "
        "bootstrap interval over architectures. Regret: accuracy points on the full training set between the best "
        "architecture and the best of the proxy's top k. Time: training and testing, without distillation.",
    ]
    if protocol["distilled_from_test_images"] is None:
        lines.append("Third-party dataset: it may have been distilled from the images tested on here.")
    elif protocol["distilled_from_test_images"]:
        lines.append("The dataset was distilled from all training images, including those tested on here.")
    return lines


def architecture_lines(found: Figures) -> list[str]:
    """Format the architectures as a Markdown table, best on the full training set first, and list failures."""
    kinds = list(found["seconds"])
    lines = [
        "| architecture | parameters |" + "".join(f" {kind} % |" for kind in kinds),
        "|---|---|" + "---|" * len(kinds),
    ]
    for one in sorted(found["architectures"], key=lambda one: -one["whole"]["mean"]):
        accuracies = "".join(f" {_accuracy(one[kind])} |" for kind in kinds)
        lines.append(f"| {one['name']} | {one['parameters']:,} |{accuracies}")
    if found["failed"]:
        lines += ["", "Left out:", *(f"- {one['name']}: {one['reason']}" for one in found["failed"])]
    return lines


def draw_scatter(found: Figures, path: Path) -> None:
    """Plot accuracy on each proxy against accuracy on the full training set.

    One point per architecture, with standard deviations over students if there are several.
    """
    from matplotlib.figure import Figure

    proxies = [name for name in PROXIES if name in found["seconds"]]
    figure = Figure(figsize=(4.6 * len(proxies) + 0.4, 4.4), layout="constrained")
    panels = figure.subplots(1, len(proxies), sharey=True, squeeze=False)[0]
    best = max(found["architectures"], key=lambda one: one["whole"]["mean"])
    for axes, proxy in zip(panels, proxies, strict=True):
        chosen = max(found["architectures"], key=lambda one: one[proxy]["mean"])
        for one in found["architectures"]:
            x, y = one[proxy], one["whole"]
            style = {"color": _COLOURS[proxy], "marker": _MARKERS[proxy], "capsize": 2, "elinewidth": 1, "alpha": 0.8}
            axes.errorbar(x["mean"], y["mean"], xerr=x["std"], yerr=y["std"], linestyle="", **style)
        ring = {"facecolors": "none", "edgecolors": "black", "zorder": 3}
        axes.scatter(chosen[proxy]["mean"], chosen["whole"]["mean"], s=130, label="the proxy's choice", **ring)
        axes.scatter(
            best[proxy]["mean"], best["whole"]["mean"], s=170, marker="s", label="best on the full training set", **ring
        )
        axes.set_title(f"{PROXIES[proxy]}: Spearman {_bounded(found['agreement'][proxy]['spearman'])}", fontsize=10)
        axes.set_xlabel(f"accuracy after training on {PROXIES[proxy]} (%)")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy after training on the full training set (%)")
    panels[0].legend(fontsize=8, loc="best", frameon=True)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _bounded(figure: dict[str, float | None]) -> str:
    """Format as `0.81 [0.60, 0.92]`."""
    if figure["value"] is None:
        return "not defined"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.2f}"
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def _accuracy(figure: Figures) -> str:
    return f"{figure['mean']:.1f}" + (f" ± {figure['std']:.1f}" if figure["std"] is not None else "")


def _share(seconds: float, whole: float) -> str:
    return f"{100 * (1 - seconds / whole):.0f} % saved" if seconds < whole else "nothing saved"
