"""Drawing with guides, for `ddpm guide`."""

from ddpm_cli.pipelines import sample
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.requests import Guide


def run(request: Guide, opened: Opened) -> None:
    """Draw what a request asks for of a model with its settings."""
    sample.run(request, opened)
