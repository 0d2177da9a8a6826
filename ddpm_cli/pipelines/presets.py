"""The named configurations, listed or in full, for `ddpm presets`; no torch is needed."""

from ddpm_cli import console
from ddpm_cli.settings import config, presets, recipes
from ddpm_cli.settings.toml import dump_toml


def run(name: str | None, *, as_json: bool) -> None:
    """List the presets, or print one of them."""
    if name is not None:
        _print_one(name, as_json)
        return
    listed = presets.list_presets()
    width = max((len(preset) for preset, _, _ in listed), default=0)
    for preset, summary, where in listed:
        if as_json:
            console.json_line({"name": preset, "summary": summary, "where": where})
        else:
            origin = "" if where == "packaged" else f"  [{where}]"
            console.line(f"{preset:{width}}  {summary}{origin}".rstrip())


def _print_one(name: str, as_json: bool) -> None:
    resolved = config.resolve(recipes.expand(presets.layers(name)), begins=True)
    if as_json:
        console.json_line(resolved)
    else:
        console.result(dump_toml(resolved).rstrip("\n"))
