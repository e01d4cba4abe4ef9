"""``compress doctor``: what this machine can do, and whether it does."""

from __future__ import annotations

import click


@click.command()
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1.")
@click.option("--no-test", is_flag=True, help="Only look; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(device: str, no_test: bool, as_json: bool) -> None:
    """Versions, processor, GPU, extras, and a short run from a network to a measured file."""
    from compressor.cli.console import print_json, print_table
    from compressor.cli.printed import echo
    from compressor.pipeline.doctor import findings, self_test

    found = findings(device)
    if not as_json:
        print_table("", ["", "", ""], [(one.name, one.value, one.said) for one in found])
    tested = None if no_test else self_test(device)
    if as_json:
        shown = {"seconds": round(tested[0], 1), "said": tested[1]} if tested else None
        print_json({"findings": [vars(one) for one in found], "test": shown})
    elif tested:
        echo(f"self-test: {tested[1]}, in {tested[0]:.0f} s: all of it works here")
