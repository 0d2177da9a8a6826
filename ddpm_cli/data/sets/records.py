"""Image sets as other programs pack them, which `[data] name` can choose; nothing is unpacked."""

from typing import Literal

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.lmdb_files import Lmdbs
from ddpm_cli.data.loading import Wish, file_set
from ddpm_cli.data.parquet_files import Parquet
from ddpm_cli.data.places import needed
from ddpm_cli.data.tar_files import Tars
from ddpm_cli.settings.knobs import ColumnList, Fraction, Index, PixelRange, Side

Split = Literal["train", "test"]


def parquet(
    split: Split,
    *,
    path: str = "",
    image: str = "",
    label: str = "",
    text: str = "",
    size: Side = 0,
    mode: Literal["RGB", "L", "RGBA"] = "RGB",
    range: PixelRange = (),
    fit: Literal["error", "resize", "crop"] = "error",
    labels: Literal["own", "none"] = "own",
    values: ColumnList = (),
    values_file: str = "",
    holdout: Fraction = 0.05,
    skip_corrupt: bool = False,
    memory: Index = 1024,
) -> ImageSet:
    """The images in Parquet files, as of Hugging Face data sets (extra parquet).

    path: a file, a folder of files, or a pattern as train-{00000..00002}-of-00003.parquet; names
    with train, test or validation are the splits. image, label, text: the columns of images,
    classes and captions, by default image or img, label, and text or caption. labels: none leaves
    classes out. values: columns of numbers that the network is told. Other knobs as for folder.
    """
    wish = Wish(size, mode, range, fit, "none", holdout, skip_corrupt, memory, values, values_file)
    files = Parquet(needed(path), image, label, text)
    return file_set(files, split, wish, files.told(classes=labels == "own"))


def webdataset(
    split: Split,
    *,
    path: str = "",
    image: str = "",
    label: str = "",
    text: str = "",
    size: Side = 0,
    mode: Literal["RGB", "L", "RGBA"] = "RGB",
    range: PixelRange = (),
    fit: Literal["error", "resize", "crop"] = "error",
    labels: Literal["own", "none"] = "own",
    values: ColumnList = (),
    values_file: str = "",
    holdout: Fraction = 0.05,
    skip_corrupt: bool = False,
    memory: Index = 1024,
) -> ImageSet:
    """The images in tar archives, as of WebDataset: STEM.jpg beside STEM.cls or STEM.json.

    path: a file, a folder of files, or a pattern as shards-{0000..0099}.tar; names with train,
    test or val are the splits. image: the ending of images, where stems have several; label: the
    ending or the key of JSON that says the class, by default cls, or label, cls or class in JSON;
    text: that of captions, by default txt, or text or caption in JSON. labels: none leaves
    classes out. values: keys of JSON, or endings, of numbers that the network is told. Other
    knobs as for folder.
    """
    wish = Wish(size, mode, range, fit, "none", holdout, skip_corrupt, memory, values, values_file)
    files = Tars(needed(path), image, label, text)
    return file_set(files, split, wish, files.told(classes=labels == "own"))


def lmdb(
    split: Split,
    *,
    path: str = "",
    size: Side = 0,
    mode: Literal["RGB", "L", "RGBA"] = "RGB",
    range: PixelRange = (),
    fit: Literal["error", "resize", "crop"] = "error",
    labels: Literal["own", "none"] = "own",
    values: ColumnList = (),
    values_file: str = "",
    holdout: Fraction = 0.05,
    skip_corrupt: bool = False,
    memory: Index = 1024,
) -> ImageSet:
    """The images in an LMDB, as of LSUN, whose values are image files.

    path: a folder as church_outdoor_train_lmdb, or one of several, whose names say classes and
    splits; labels: none leaves classes out. values: columns of
    beside. Other knobs as for folder.
    """
    wish = Wish(size, mode, range, fit, "none", holdout, skip_corrupt, memory, values, values_file)
    files = Lmdbs(needed(path))
    return file_set(files, split, wish, files.told(classes=labels == "own"))
