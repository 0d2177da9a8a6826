"""Which classifier of noisy images a configuration names."""

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.settings.checks import CLASSIFIER


def named(model: str, info: DataInfo) -> tuple[Place, Header]:
    """The classifier of that name, for images of the model's shape; others are refused."""
    place = find.find(model or None, CLASSIFIER)
    header = read_header(place.path)
    if header.task != CLASSIFIER:
        fix = "train one with ddpm train --preset mnist-classifier"
        raise Refusal(f"{place.name}: no classifier of noisy images; {fix}")
    if header.data.shape != info.shape:
        theirs, ours = header.data.shape, info.shape
        raise Refusal(f"{place.name}: classifies images {theirs}, but the model makes {ours}")
    return place, header
