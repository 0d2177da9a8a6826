"""`ddpm collect`: put samples that are there on one sheet, or into one file."""

from typing import Any

import click

from ddpm_cli.options import completion, outputs, reading, shared
from ddpm_cli.settings.collecting import Collect, Titles


@click.command(
    "collect",
    epilog=shared.examples(
        "ddpm collect digits/ -o sheet.png --zoom 2 --labels seed,class",
        "ddpm collect ddim/ heun/ -o methods.png --row-titles folder",
        "ddpm collect runs/*/samples/ -o runs.png --columns 4 --labels name",
        "ddpm collect all/ --row-titles class --column-titles sampler",
        "ddpm collect shard-*.npz -o all.npz --seeds 0-9999",
        "ddpm collect shard-*/ -o all.zip",
        "ddpm collect a.npz b.npz -o one-by-one/",
        "ddpm collect ddim/ heun/ -o - | ddpm info -",
    ),
)
@shared.inputs
@outputs.output(
    "PNG, JPEG or WebP sheet, - for stdout, or the samples themselves: .npz, .npy, .safetensors, "
    ".zip or folder/; by default sheet.png."
)
@click.option(
    "--seeds",
    metavar="LIST",
    multiple=True,
    callback=shared.seeds_of,
    help="Seeds that must be there, as in 0-9,40; others are left out.",
)
@outputs.layout
@click.option(
    "--row-titles",
    metavar="KEY|TEXT,...",
    shell_complete=completion.labels,
    help="A row for each value of a key, as folder, class or sampler, with that as its title; or "
    "the titles themselves.",
)
@click.option(
    "--column-titles",
    metavar="KEY|TEXT,...",
    shell_complete=completion.labels,
    help="A column for each value of a key, with that as its title; or the titles themselves.",
)
@outputs.force("Replace files that exist, and of a seed that differs take the last.")
@click.option("--dry-run", is_flag=True, help="Read everything, say the plan, and write nothing.")
@shared.json_lines
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    seeds: list[int] | None,
    row_titles: str | None,
    column_titles: str | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    **_: Any,
) -> None:
    """Put samples on a sheet, or the pieces of a job into one file.

    INPUT is pictures, folders with all below them, zip archives, .npz, .npy, and .safetensors of
    samples or latents: what the tasks of a job wrote, in any order. Samples come in the order of
    their seeds, which are in their records or in names like 000012.png; without seeds in the
    order given. All must have one shape and one kind of pixels or numbers, which stay as they
    are. Records are kept.

    Seeds that are missing are named; with --seeds the exit code is then 3. A seed that is there
    twice is named, too: once if both are equal, otherwise it is refused.

    Keys are those of records, as seed, class, model, sampler, steps and guidance.scale, and name,
    file and folder.
    """
    request = Collect(
        inputs=inputs,
        output=output or "sheet.png",
        seeds=seeds,
        layout=reading.layout(ctx),
        rows=Titles.of(row_titles, "--row-titles"),
        columns=Titles.of(column_titles, "--column-titles"),
        force=force,
        dry_run=dry_run,
        as_json=as_json,
    )
    from ddpm_cli.pipelines import collect

    collect.run(request)
