"""Drawing with guides, for `ddpm guide`."""

from ddpm_cli.pipelines import guided_restoring, sample
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.requests import Guide


def run(request: Guide, opened: Opened) -> None:
    """Draw what a request asks for of a model with its settings, unless it is but checked."""
    if request.guiding.flags["checks"]:
        guided_restoring.check(request, opened)
    else:
        sample.run(request, opened)
