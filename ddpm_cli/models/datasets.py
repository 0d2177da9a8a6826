"""The data sets of a configuration, and what a checkpoint keeps of them."""

from functools import partial

from ddpm_cli import hardware
from ddpm_cli.data.image_set import Data
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import image_vectors, kinds, making, saved
from ddpm_cli.models.image_vectors import Encoder
from ddpm_cli.settings.config import Config


def images(config: Config, split: str) -> Data:
    """The data set of a configuration, of images or of arrays."""
    data: Data = making.maker("data", config["data"])(split)
    load = partial(encoder, config)
    if "embed" in config:
        data = image_vectors.embed(data, load, **config["embed"])
    if "vector" in config:
        settings = config["vector"]
        data = image_vectors.described(data, load, settings["encoder"], settings["size"])
    return kinds.told(config, data)


def encoder(config: Config, name: str) -> Encoder:
    """The classifier or CLIP of that name, to encode images where a configuration computes."""
    path = find.find(name).path
    compute = hardware.compute(**(config["compute"] | {"dtype": "float32", "compile": False}))
    header, weights = checkpoint.load(path, str(compute.device))
    judge = saved.classifier(header, weights, compute, path)
    return Encoder(name, judge, header.data, compute)


def data_info(data: Data) -> DataInfo:
    """What a checkpoint keeps of its data."""
    shares = data.frequencies()
    frequencies = tuple(shares) if shares else None
    encoding = data.texts.encoding if data.texts else None
    rest = (data.titles, data.range, data.values, data.beside, encoding)
    return DataInfo(data.shape, data.classes, frequencies, data.mean, data.std, *rest)
