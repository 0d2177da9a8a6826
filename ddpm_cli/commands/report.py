"""`ddpm report`: one page that shows runs and samples."""

import click

from ddpm_cli.options import completion, numbers, outputs, replaying, shared
from ddpm_cli.settings.requests import Report


@click.command(
    "report",
    epilog=shared.examples(
        "ddpm report runs/mnist",
        "ddpm report runs/mnist runs/wide -o compared.html",
        "ddpm report runs/mnist digits/ sevens.png --sheets 10 --force",
        "ddpm report runs/mnist -o - > page.html",
    ),
)
@click.argument(
    "inputs", metavar="RUN...", nargs=-1, required=True, shell_complete=completion.targets
)
@outputs.output("The page, FILE.html, or - for stdout.  [default: report.html]")
@click.option(
    "--sheets",
    type=numbers.whole(0, 10_000),
    default=24,
    show_default=True,
    help="At most so many sheets of a run, evenly from its first to its last.",
)
@click.option(
    "--images",
    type=numbers.whole(1, 10_000),
    default=64,
    show_default=True,
    help="At most so many pictures of a folder.",
)
@click.option(
    "--side",
    type=numbers.whole(16, 16_384),
    default=1024,
    show_default=True,
    help="Pictures of more pixels a side are made smaller.",
)
@outputs.force("Replace the page if it exists.")
@click.option("--dry-run", is_flag=True, help="Say what would be on the page; write nothing.")
@shared.json_lines
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    sheets: int,
    images: int,
    side: int,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Show runs and samples on one page of HTML.

    RUN is the folder of a run, finished or not, or a model; a picture, or a folder of pictures,
    is shown as samples. The page has curves of losses, measures and speed over steps and over
    minutes, sheets with a slider, the settings in which runs differ, and the commands that
    repeat them. It is one file, asks for nothing from anywhere, and can be printed.
    """
    request = Report(
        inputs=inputs,
        output=output or "report.html",
        sheets=sheets,
        images=images,
        side=side,
        force=force,
        dry_run=dry_run,
        as_json=as_json,
    )

    from ddpm_cli.pipelines import report

    group = ctx.find_root().command
    report.run(request, lambda verb, words: replaying.kept(group, verb, words, "samples"))
