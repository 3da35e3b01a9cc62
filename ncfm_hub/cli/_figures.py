"""The options --mean and --std: one number per channel."""

import click


def _figures(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("expected comma-separated numbers, for example 0.49,0.48,0.45") from None


mean_option = click.option(
    "--mean", metavar="A,B,C", callback=_figures, help="Channel means for normalisation, pixels in [0, 1]."
)
std_option = click.option(
    "--std", metavar="A,B,C", callback=_figures, help="Channel standard deviations, pixels in [0, 1]."
)
