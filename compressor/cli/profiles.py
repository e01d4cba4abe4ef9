"""``compress profiles``: list, show, copy, check, and their schema."""

from pathlib import Path

import click

from compressor.cli.printed import echo
from compressor.errors import InputError, PlanError


@click.group()
def profiles() -> None:
    """List, show, copy and check profiles."""


@profiles.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_profiles(as_json: bool) -> None:
    """The shipped profiles."""
    from compressor.cli.console import print_json, print_table
    from compressor.profile import merged_tables, profile_path, shipped_names

    rows = {}
    for name in shipped_names():
        raw, _ = merged_tables(profile_path(name), [])
        rows[name] = {"summary": raw["summary"], "runtime": raw["target"]["runtime"]}
    if as_json:
        print_json({"profiles": [{"name": name, **row} for name, row in rows.items()]})
        return
    print_table("", ["profile", "runtime", ""], [(n, r["runtime"], r["summary"]) for n, r in rows.items()])


@profiles.command()
@click.argument("profile")
def show(profile: str) -> None:
    """Print PROFILE's file, with the reason of every setting."""
    from compressor.profile import profile_path
    from compressor.reading import read_text

    echo(read_text(profile_path(profile)).rstrip("\n"))


@profiles.command()
def schema() -> None:
    """Print the JSON schema of profiles, by which editors complete and check them."""
    from compressor.cli.console import print_json
    from compressor.profile_schema import profile_schema

    print_json(profile_schema())


@profiles.command()
@click.argument("profile")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def copy(profile: str, file: Path, force: bool) -> None:
    """Copy PROFILE to FILE, to be changed and used with --profile FILE."""
    from compressor.cli.options import check_writable
    from compressor.profile import profile_path
    from compressor.reading import read_text

    text = read_text(profile_path(profile))
    if file.suffix != ".toml":
        raise InputError(f"{file}: got '{file.suffix}', wanted a name that ends in .toml", f"{file.stem}.toml")
    if file.exists() and not force:
        raise InputError(f"{file} is there already", "--force, or another name")
    check_writable(file.parent)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    echo(f"{file}: change it, then: compress profiles check {file}")


@profiles.command()
@click.argument("profile")
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="Check it with this changed.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole profile, every default filled in.")
def check(profile: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check PROFILE (a name or a file): every fault at once, then whether its stages chain."""
    from compressor.cli.console import print_json
    from compressor.profile import chain_faults, load_profile

    loaded = load_profile(profile, overrides)
    faults = chain_faults(loaded)
    for name in loaded.special:
        faults += [f"for {name}: {fault}" for fault in chain_faults(loaded.for_inputs(name)) if fault not in faults]
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise PlanError(f"the stages of '{profile}' don't chain:{listed}", "another order of [[stage]]")
    if as_json:
        print_json(loaded.as_dict())
        return
    kinds = " > ".join(stage.kind for stage in loaded.stages)
    echo(f"{loaded.name}: {loaded.target.runtime}, {loaded.target.precision}: {kinds}: no faults")
