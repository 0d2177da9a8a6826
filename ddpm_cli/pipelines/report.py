"""One page of runs and samples that needs no server and no network, for `ddpm report`."""

from pathlib import Path
from typing import Any

from ddpm_cli import console
from ddpm_cli.errors import ConfigError
from ddpm_cli.failures import Failures
from ddpm_cli.files.outputs import targets
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.provenance import Kept
from ddpm_cli.pipelines.report_subjects import Subjects, subjects
from ddpm_cli.settings.requests import Report

SUFFIXES = (".html", ".htm")
LARGE = 2**25  # bytes of a page that take long to open


def run(request: Report, kept: Kept) -> None:
    """Write the page and print where it is; kept: see provenance.replay."""
    _refuse_output(request)
    found = subjects(request.inputs)
    for line in _plan(found, request):
        console.say(line)
    shown = sum(min(len(item.files), request.images) for item in found.samples)
    failures = Failures(len(found.runs) + shown)
    written: dict[str, Any] = {"path": request.output, "bytes": None}
    if not request.dry_run:
        data = page(found, request, kept, failures)
        if failures.count == failures.total:
            failures.finish()
        written["bytes"] = len(data)
        if len(data) > LARGE:
            fix = "--sheets, --images or --side make it smaller"
            console.warn(f"{request.output}: {len(data) / 1e6:.0f} MB; {fix}")
        if request.output == "-":
            console.binary(data)
        else:
            targets.put(Path(request.output), data, Existing(request.force))
    if request.as_json:
        console.json_line({**written, **_listed(found, request)})
    elif not request.dry_run and request.output != "-":
        console.line(request.output)
    failures.finish()


def _refuse_output(request: Report) -> None:
    if request.output == "-":
        if request.as_json:
            raise ConfigError("--json: not with -o -, where the page goes to stdout")
        if not request.dry_run:
            console.refuse_binary_terminal()
        return
    path = Path(request.output)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"-o {path}: unknown ending; use .html")
    targets.refuse_existing(path, request.force)


def page(found: Subjects, request: Report, kept: Kept, failures: Failures) -> bytes:
    """The bytes of the page; failures: takes the pictures that cannot be read."""
    from ddpm_cli.files.outputs.page.document import document
    from ddpm_cli.files.outputs.page.markup import element
    from ddpm_cli.pipelines import report_curves, report_sections

    runs, samples = found
    names = [*(run.name for run in runs), *(item.name for item in samples)]
    title = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return document(
        title,
        element("header", element("h1", title)),
        element(
            "main",
            report_sections.summary(runs),
            report_curves.section(runs),
            report_sections.pictures(runs, samples, request, failures),
            report_sections.settings(runs),
            report_sections.repeating(runs, samples, kept),
        ),
    )


def _plan(found: Subjects, request: Report) -> list[str]:
    """What will be on the page, a line for each run and folder."""
    lines = []
    for one in found.runs:
        shown = min(len(one.sheets), request.sheets)
        what = f"{len(one.rows)} rows of metrics, {shown} of {len(one.sheets)} sheets"
        lines.append(f"{one.path}: {what}")
    for item in found.samples:
        shown = min(len(item.files), request.images)
        lines.append(f"{item.path}: {shown} of {len(item.files)} pictures")
    return lines


def _listed(found: Subjects, request: Report) -> dict[str, Any]:
    """The same for programs, with how each run stands."""
    runs = [
        {
            "path": str(one.path),
            "rows": len(one.rows),
            "sheets": min(len(one.sheets), request.sheets),
            **one.standing,
        }
        for one in found.runs
    ]
    samples = [
        {"path": str(item.path), "images": min(len(item.files), request.images)}
        for item in found.samples
    ]
    return {"runs": runs, "samples": samples}
