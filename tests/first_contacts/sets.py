"""Data that cannot be trained on as they were given."""

import foreign_files as make
import numpy as np
import torch

from first_contacts import G, Row, data, train

FLAT = {f"d/{who}_{n:03}.png": G for who in ("cat", "dog") for n in range(6)}
CSV = "--set data.labels=csv --set data.holdout=0"
SIX_BANDS = bytes.fromhex("49492a00080000000100150103000100000006000000")  # in a TIFF's directory


CONTAINERS = [
    data(
        "archive", "s-0.tar", make.tarred({"a.png": G}),
        "a tar archive|data.name=webdataset --set data.path=s-0.tar", "not a zip",
    ),
    data("folder", "s.tar", make.tarred({"a.png": G}), "a tar archive|data.name=webdataset"),
    data("archive", "s.tgz", make.tarred({"a.png": G}, "w:gz"), "a gzip file|gzip -dk"),
    data(
        "archive", "t-00000-of-00001.parquet", make.PARQUET,
        "a Parquet file|Hugging Face|data.name=parquet --set data.path=t-00000-of-00001.parquet",
        "not a zip",
    ),
    data("folder", "d.arrow", make.ARROW, "an Arrow file|datasets"),
    data(
        "archive", "o.zip", make.zipped({"i.zip": make.zipped({"a.png": G})}),
        "i.zip is a zip file|python -m zipfile -e o.zip o|data.path=o/i.zip", "must end in",
    ),
    data(
        "archive", "o.zip", make.zipped({"a/s.tar": make.tarred({"a.png": G})}),
        "a/s.tar is a tar archive|data.name=webdataset --set data.path=o/a/s.tar",
    ),
    data("archive", "a.7z", make.SEVENZIP, "a 7z archive|7z x a.7z", "not a zip"),
    data("archive", "a.rar", make.RAR, "a RAR archive|unrar x a.rar", "not a zip"),
    data("archive", "a.zip", b"", "an empty file|fetch it again"),
    data("archive", "a.zip", make.zipped({"a.png": G})[:-30], "cut or damaged|download it again"),
    data("archive", "a.zip", make.PAGE, "a web page|failed download"),
    data("archive", "a.zip", make.LFS, "a Git LFS pointer|git lfs pull"),
    data("archive", "a.png", G, "an image|data.name=folder"),
    data("archive", "a.npz", make.npz(a=[1]), "an .npz file|numpy.save('a.npy'"),
    data("archive", "a.pt", make.pytorch(torch.zeros(1)), "a PyTorch file|torch.load('a.pt'"),
    data(
        "archive", "a.zip", make.zipped({"__MACOSX/._a.png": G}),
        "only hidden files|__MACOSX/._a.png",
    ),
    data(
        "folder", "a.zip", make.zipped({"a.png": G}),
        "a zip file|data.name=archive --set data.path=a.zip",
    ),
    Row(
        {}, train("archive", "https://x.org/a.zip"), 1, "an address|curl -LO https://x.org/a.zip",
        "https:/x",
    ),
    Row(
        {}, train("folder", "hf://me/cats"), 1,
        "Hugging Face Hub|hf download me/cats --repo-type dataset --local-dir cats",
    ),
    Row({}, train("folder", "me/cats"), 1, "Hugging Face Hub|hf download me/cats"),
    Row(
        {"photos/cats/a.png": G}, train("folder", "photos/cat"), 1,
        "photos/cat: No such file|did you mean photos/cats?", "Hugging",
    ),
    Row({}, train("folder", "nosuch"), 1, "nosuch: No such file|paths begin in /"),
]  # fmt: skip
FOLDERS = [
    Row(
        FLAT, train("folder", "d", "--set network.classes=2"), 2,
        "no classes|d/dog/001.png|file,label|data.labels=csv|echo file,label", "did you mean",
    ),
    Row(
        {f"d/{n}.png": G for n in range(40)}, train("folder", "d", "--set network.classes=2"), 2,
        "no classes|data.labels=csv", "echo",
    ),
    Row(
        {"d/a.png": G, "d/b.png": G}, train("folder", "d"), 1,
        "none of its 2 images is for test|--set data.holdout=0.5",
    ),
    Row(
        FLAT, train("folder", "d", "--set data.holdout=1"), 1,
        "is for train|--set data.holdout=0.09",
    ),
    Row({"d/a.png": G}, train("folder", "d"), 1, "one image or more"),
    Row({"d/._a.png": G}, train("folder", "d"), 1, "only hidden files|._a.png|macOS"),
    Row({"d/Thumbs.db": b"x"}, train("folder", "d"), 1, "only hidden files|Thumbs.db"),
    Row({"d/": b""}, train("folder", "d"), 1, "no images in it|it is empty"),
    Row(
        {"d/a.heic": make.HEIC, "d/b.heic": make.HEIC}, train("folder", "d"), 1,
        "2 .heic|a HEIC photograph|magick mogrify -format png d/*.heic",
    ),
    Row({"d/a.jfif": G}, train("folder", "d"), 1, "name does not say so|for f in d/*.jfif"),
    Row(
        {"d/a.npy": make.npy([1.0])}, train("folder", "d"), 1,
        "1 .npy|data.name=array --set data.path=d/a.npy",
    ),
    Row(
        {"d/s-1.tar": make.tarred({"a": b""}), "d/s-2.tar": make.tarred({"a": b""})},
        train("folder", "d"), 1, "2 .tar|a tar archive|data.name=webdataset|data.path=d/s-1.tar",
    ),
    Row(
        {"d/a.png": make.PAGE, "d/b.png": make.LFS},
        train("folder", "d", "--set data.skip_corrupt=true --set data.holdout=0.5"), 1,
        "none of the 1 file", "skip_corrupt",
    ),
    Row(
        {"d/a.png": make.PAGE, "d/b.png": G, "d/c.png": G},
        train("folder", "d", "--set data.holdout=0.34"), 1, "a web page|data.skip_corrupt=true",
    ),
    Row(
        {"d/a.png": G, "d/b.png": make.png((9, 9))}, train("folder", "d", "--set data.holdout=0"),
        1, "The images differ|data.fit=crop",
    ),
    Row(
        {"d/a.png": G, "d/labels.csv": "file,label\na.png,\xe9\n".encode("cp1252")},
        train("folder", "d", CSV), 1, "not UTF-8|iconv",
    ),
    Row(
        {"d/a.png": G, "d/b.png": G, "d/labels.csv": b"file,label\na.png,x\n"},
        train("folder", "d", CSV), 1, "no row for d/b.png|Add rows",
    ),
    Row(
        {"d/a.png": G, "d/labels.csv": b"image,target\na.png,x\n"}, train("folder", "d", CSV), 1,
        "no column named file",
    ),
    Row(
        {f"d/{n}.tif": SIX_BANDS for n in range(3)},
        train("folder", "d", "--set data.holdout=0.34"), 1,
        "a TIFF with 6 values a pixel|[N,C,H,W]|data.name=array", "one of PNG|skip_corrupt",
    ),
    Row({"d/x.png": G}, "train --set data.path=d", 1, "the usual data|--set data.name=folder"),
    Row(
        {"d.csv": b"1,2\n"}, "train --set data.path=d.csv", 1,
        "a text file|data.name=array --set data.path=d.csv",
    ),
]  # fmt: skip
TABLES = [
    data("array", "a.npy", make.npy(["a"]), "values of type <U1|numpy.save"),
    data("array", "a.npy", make.npy(np.array([{}], object)), "Python objects|numpy.save"),
    data("array", "a.npy", make.npy([1j]), "complex128|a.real, a.imag"),
    data(
        "array", "a.npy", b"\x93NUMPY\1\0\x10\0{(             \n",
        "no readable .npy file: its header is damaged", "EOF",
    ),
    data("array", "a.npy", make.npy([1.0, 2.0])[:-4], "no readable .npy|copy it again"),
    data("array", "a.npy", make.LFS, "Git LFS pointer|git lfs pull", "allow_pickle"),
    data("array", "a.npy", b"", "an empty file"),
    data(
        "array", "a.npz", make.npz(x=[[1.0], [2.0]], y=[2.0]),
        "an .npz file|numpy.save('a.npy', a[a.files[0]])",
    ),
    data(
        "array", "a.pt", make.pytorch(torch.zeros(1), is_old=True),
        "a PyTorch file|torch.load('a.pt'",
    ),
    data("array", "a.pkl", make.CIFAR_PICKLE, "a Python pickle|not opened"),
    data("array", "a.csv.gz", make.gzipped(b"1,2\n"), "a gzip file|gzip -dk a.csv.gz"),
    data(
        "array", "a.xlsx", make.zipped({"[Content_Types].xml": b""}),
        "an Excel file|as CSV|data.path=a.csv",
    ),
    data("array", "a.json", b'[{"a": 1}]', "a JSON file|read_json('a.json')|data.path=a.csv"),
    data("array", "a.jsonl", b'{"a": 1}\n{"a": 2}\n', "a JSON file|lines=True"),
    data("array", "a.tsv", b"1\t2\n", "unknown ending|cp a.tsv a.csv"),
    data("array", "a.h5", make.HDF5, "an HDF5 file|h5py"),
    data("array", "a.mat", make.MAT, "a MATLAB file|scipy.io.loadmat('a.mat')"),
    data("array", "a.dcm", make.DICOM, "a DICOM file|pydicom"),
    data("array", "a.nii", make.NIFTI, "a NIfTI volume|nibabel"),
    data("array", "a.fits", make.FITS, "a FITS file|astropy"),
    data("array", "a.wav", make.WAV, "a sound (WAV)|data.name=series --set data.path=a.wav"),
    data("array", "a.tfrecord", make.TFRECORD, "a TFRecord file"),
    data("array", "a.parquet", make.PARQUET, "a Parquet file"),
    data("array", "a.csv", make.PARQUET, "a Parquet file|no .csv file"),
    data("array", "a.csv", "a,b\n1,2\n".encode("utf-16"), "text in UTF-16|iconv -f utf-16"),
    data("array", "a.csv", "\xe9,b\n1,2\n".encode("latin-1"), "not UTF-8|iconv -f cp1252"),
    data(
        "array", "a.csv", b"a,b\n1,\n2,3\n", "line 2, column 2|fill the gaps|data.skip",
        "skips the first",
    ),
    data(
        "array", "a.csv", b"a,b\n1,x\n2,3\n", "line 2, column 2|data.label=b|data.skip",
        "skips the first",
    ),
    Row({"d/": b""}, train("array", "d"), 1, "a folder|data.name=folder"),
    Row({}, train("array", "https://x.org/a.csv"), 1, "an address|curl -LO https://x.org/a.csv"),
    Row(
        {"lab": make.idx(4)}, train("idx", "lab", key="images"), 1, "these are labels|data.images",
    ),
    Row(
        {"im": make.idx(4, 8, 8)}, train("idx", "im", "--set data.labels=im", "images"), 1,
        "these are images|data.labels",
    ),
    Row(
        {"a.png": G}, train("idx", "a.png", key="images"), 1,
        "an image, no IDX file|data.name=folder",
    ),
    Row(
        {"d/data_batch_1": make.CIFAR_PICKLE}, train("cifar10", "d"), 1,
        "Python version|mv d cifar-10-batches-py",
    ),
    Row(
        {"d/cifar-10-python.tar.gz": make.tarred({}, "w:gz")}, train("cifar10", "d"), 1,
        "tar xf d/cifar-10-python.tar.gz -C d",
    ),
]  # fmt: skip
