"""The table of what ddpm cannot use: how each kind is told, what it is called, the way out.

To know one more kind, add a row; the first that fits counts. In ways, {file} is the path for a
shell, {path} the same within quotes, {stem} a new name from it, {folder} where it lies,
{ending} how its name ends.
"""

from typing import NamedTuple

from ddpm_cli.foreign import signs
from ddpm_cli.foreign.signs import Tell, riff, starts, text, zipped


class Kind(NamedTuple):
    """A kind of file: its name, and the ways out where it was given as one of four things.

    An empty way stands for the usual one, USUAL.
    """

    name: str
    model: str = ""
    data: str = ""
    image: str = ""
    settings: str = ""


USUAL = {
    "model": "give a file, run folder or name of a model of ddpm: ddpm sample -m mnist",
    "data": "give a folder (data.name=folder) or zip (archive) of images, or .npy or .csv (array)",
    "image": "give a PNG, JPEG, WebP, TIFF, GIF or BMP file",
    "settings": "ddpm train --preset tiny --dry-run > my.toml writes a file to edit",
}
WEIGHTS = "weights of other programs come in by: ddpm convert {file} -o {stem}.safetensors"
NO_WEIGHTS = "weights of this kind are not read; train your own, or: ddpm sample -m mnist"
TOML_IS = f"settings are TOML; {USUAL['settings']}"
TO_PNG = "save it as PNG, or: magick {file} {stem}.png"
ALL_TO_PNG = (
    "make PNGs of all: magick mogrify -format png {folder}/*{ending}, "
    "then --set data.name=folder --set data.path={folder}"
)
FRAMES = "take its pictures: mkdir {stem} && ffmpeg -i {file} {stem}/%05d.png"
FOLDER = "then --set data.name=folder --set data.path={stem}"
ARRAY = "then --set data.name=array --set data.path={stem}.npy"
TABLE = "then --set data.name=array --set data.path={stem}.csv"
NUMPY = "save its numbers with numpy.save('{stem}.npy', ...)"
WAVE = "a sound (WAV)"
SERIES = "read it with --set data.name=series --set data.path={file}"
SOUND = f"{NUMPY} as [N, 1, length], {ARRAY}"
READ_JSON = "python -c \"import pandas; pandas.read_json('{path}').to_csv('{stem}.csv', index=0)\""
FETCH = "fetch it again, it was not downloaded whole"


def _picture(name: str) -> Kind:
    """An image that other programs make a PNG of."""
    return Kind(name, image=TO_PNG, data=ALL_TO_PNG)


def _unpacked(command: str) -> dict[str, str]:
    """The ways out of an archive: unpacked to a folder, and what to do with that."""
    ways = dict.fromkeys(
        ("model", "image", "settings"), f"{command}, then give a file of {{stem}}"
    )
    return {**ways, "data": f"{command}, {FOLDER}"}


def _unzipped(command: str) -> dict[str, str]:
    """The ways out of a single file that is compressed."""
    return dict.fromkeys(("model", "data", "image", "settings"), f"{command}, then give that file")


TORCH = Kind(
    "a PyTorch file (pickle)",
    model=WEIGHTS,
    data="python -c \"import numpy, torch; numpy.save('{stem}.npy', "
    f"torch.load('{{path}}', weights_only=True).numpy())\", {ARRAY}",
)
EMPTY = Kind("an empty file", model=FETCH, data=FETCH, image=FETCH)
SAFETENSORS = Kind(
    "a safetensors file",
    model=WEIGHTS.replace("{stem}", "{stem}-ddpm"),
    image="latents of ddpm encode are drawn by: ddpm sample --from {file}",
    settings="if it is a model of ddpm: ddpm info {file} --toml > my.toml",
)

KINDS: tuple[tuple[Tell, Kind], ...] = (
    (lambda head: not head, EMPTY),
    (text(b"version https://git-lfs"), Kind(
        "a Git LFS pointer, which stands for a file that was not fetched",
        *["in its repository type: git lfs pull"] * 4,
    )),
    (text(b"<!doctype html", b"<html"), Kind(
        "a web page, as a failed download leaves", *["fetch the file itself"] * 4
    )),
    (lambda head: b"<svg" in head.lower(), _picture("an SVG drawing")),
    (signs.is_safetensors, SAFETENSORS),
    (zipped("/data.pkl", "/.format_version", "/constants.pkl", "/version"), TORCH),
    (starts(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"), TORCH),
    (zipped(".npy"), Kind(
        "an .npz file, which holds several arrays", model=NO_WEIGHTS,
        data="of images: --set data.name=npz --set data.path={file}; of numbers, "
        "take one out: python -c \"import numpy; a = numpy.load('{path}'); "
        f"numpy.save('{{stem}}.npy', a[a.files[0]])\", {ARRAY}",
        image="if it holds samples of ddpm: ddpm info {file}",
    )),
    (zipped("[Content_Types].xml", "_rels/.rels", "docProps/app.xml", "xl/workbook.xml"), Kind(
        "an Excel file", data=f"save the sheet as CSV (UTF-8), {TABLE}"
    )),
    (zipped("metadata.json", "config.json", "model.weights.h5"), Kind(
        "a Keras model", model=NO_WEIGHTS
    )),
    (starts(b"PK\3\4", b"PK\5\6"), ZIP := Kind(
        "a zip file", **_unpacked("unpack it: python -m zipfile -e {file} {stem}")
        | {"data": "--set data.name=archive --set data.path={file} reads the images in it"},
    )),
    (starts(b"ustar", at=257), Kind(
        "a tar archive, as of WebDataset",
        **_unpacked("unpack it: mkdir {stem} && tar xf {file} -C {stem}")
        | {"data": "--set data.name=webdataset --set data.path={file} reads the images in it"},
    )),
    (starts(b"PAR1"), Kind(
        "a Parquet file, as of a Hugging Face data set",
        data="--set data.name=parquet --set data.path={file} reads the images in it",
    )),
    (signs.is_arrow, Kind(
        "an Arrow file, as of a Hugging Face data set",
        data="with its package datasets save each row's image as PNG in a folder, "
        "then --set data.name=folder",
    )),
    (starts(b"7z\xbc\xaf\x27\x1c"), Kind(
        "a 7z archive", **_unpacked("unpack it: 7z x {file} -o{stem}")
    )),
    (starts(b"Rar!"), Kind("a RAR archive", **_unpacked("unpack it: unrar x {file} {stem}/"))),
    (starts(b"\x1f\x8b"), Kind("a gzip file", **_unzipped("unpack it: gzip -dk {file}"))),
    (starts(b"\xfd7zXZ"), Kind("an xz file", **_unzipped("unpack it: xz -dk {file}"))),
    (starts(b"BZh"), Kind("a bzip2 file", **_unzipped("unpack it: bzip2 -dk {file}"))),
    (starts(b"\x28\xb5\x2f\xfd"), Kind("a zstd file", **_unzipped("unpack it: zstd -d {file}"))),
    (starts(b"\x93NUMPY"), NPY := Kind(
        "a .npy array", model=NO_WEIGHTS, data="--set data.name=array --set data.path={file}",
        image="if of bytes: python -c \"import numpy; from PIL import Image; "
        "Image.fromarray(numpy.load('{path}')).save('{stem}.png')\"",
    )),
    (starts(b"\0\0\x08\1"), Kind(
        "IDX labels, as of MNIST", data="--set data.name=idx --set data.labels={file}"
    )),
    (starts(b"\0\0\x08\3"), Kind(
        "IDX images, as of MNIST", data="--set data.name=idx --set data.images={file}"
    )),
    (starts(b"\x89HDF\r\n\x1a\n"), Kind(
        "an HDF5 file", model=NO_WEIGHTS,
        data="python -c \"import h5py, numpy; f = h5py.File('{path}'); "
        f"numpy.save('{{stem}}.npy', f[list(f)[0]][:])\", {ARRAY}",
    )),
    (starts(b"MATLAB 5.0"), Kind(
        "a MATLAB file", data="python -c \"import numpy, scipy.io; f = scipy.io.loadmat("
        f"'{{path}}'); numpy.save('{{stem}}.npy', f[list(f)[-1]])\", {ARRAY}",
    )),
    (starts(b"DICM", at=128), Kind(
        "a DICOM file", data=f"{NUMPY}: pydicom.dcmread(file).pixel_array; {ARRAY}",
        image="save it as PNG; its pixels: pydicom.dcmread('{path}').pixel_array",
    )),
    (starts(b"n+1\0", b"ni1\0", at=344), Kind(
        "a NIfTI volume", data=f"{NUMPY}: nibabel.load(file).get_fdata(); {ARRAY}",
        image="save a slice as PNG; its values: nibabel.load('{path}').get_fdata()",
    )),
    (starts(b"SIMPLE  ="), Kind(
        "a FITS file", data=f"{NUMPY}: astropy.io.fits.getdata(file); {ARRAY}"
    )),
    (starts(b"%PDF"), Kind("a PDF file", image="pdftoppm -png {file} {stem} draws its pages")),
    (starts(b"%!PS"), _picture("a PostScript file")),
    (signs.brand(b"hei", b"hev", b"mif1", b"msf1"), _picture("a HEIC photograph")),
    (signs.brand(b"avif", b"avis"), _picture("an AVIF image")),
    (signs.brand(b"crx "), _picture("a raw photograph")),
    (starts(b"ftyp", b"moov", b"mdat", at=4), Kind(
        "a video (MP4)", data=f"{FRAMES}, {FOLDER}", image=FRAMES
    )),
    (starts(b"\x1aE\xdf\xa3"), Kind(
        "a video (Matroska or WebM)", data=f"{FRAMES}, {FOLDER}", image=FRAMES
    )),
    (riff(b"AVI "), Kind("a video (AVI)", data=f"{FRAMES}, {FOLDER}", image=FRAMES)),
    (riff(b"WAVE"), Kind(WAVE, data=SERIES)),
    (starts(b"ID3", b"\xff\xfb", b"fLaC", b"OggS"), Kind("a sound (MP3, FLAC, Ogg)", data=SOUND)),
    (signs.is_raw_photograph, _picture("a raw photograph")),
    (starts(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*"), IMAGE := Kind(
        "an image", model="-m is for models; images are inputs: ddpm encode {file} -m mnist",
        data="give the folder that it is in: --set data.name=folder --set data.path=FOLDER",
        settings="if ddpm made it: ddpm info {file} --command",
    )),
    (riff(b"WEBP"), IMAGE),
    (signs.is_bitmap, IMAGE),
    (starts(b"8BPS"), _picture("a Photoshop file")),
    (starts(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), _picture("a JPEG 2000 image")),
    (starts(b"\0\0\0\x0cJXL ", b"\xff\x0a"), _picture("a JPEG XL image")),
    (starts(b"\x76\x2f\x31\x01"), _picture("an OpenEXR image")),
    (starts(b"\0\0\1\0"), _picture("a Windows icon")),
    (starts(b"P5\n", b"P6\n", b"P5 ", b"P6 "), _picture("a PNM image")),
    (starts(b"GGUF"), Kind("a GGUF model", model=NO_WEIGHTS)),
    (signs.is_onnx, Kind("an ONNX model", model=NO_WEIGHTS)),
    (signs.is_pickle, Kind(
        "a Python pickle, which could run any program and is not opened", model=WEIGHTS,
        data=f"if you trust it, open it in Python: {NUMPY}, {ARRAY}",
    )),
    (starts(b"SQLite format 3"), Kind("an SQLite database")),
    (signs.is_msgpack, Kind("a msgpack file, as of JAX and Flax", model=NO_WEIGHTS)),
    (signs.is_tfrecord, Kind(
        "a TFRecord file, as of TensorFlow",
        data="with tensorflow save each record's image as PNG in a folder, "
        "then --set data.name=folder",
    )),
    (starts(b"\xff\xfe", b"\xfe\xff"), Kind(
        "text in UTF-16", **_unzipped("iconv -f utf-16 -t utf-8 {file} > {stem}-utf8{ending}")
    )),
    (signs.is_json_lines, Kind(
        "a JSON file", data=f"{READ_JSON.replace(').to', ', lines=True).to')}, {TABLE}",
        settings=TOML_IS,
    )),
    (text(b"{", b"[{", b"[["), Kind(
        "a JSON file", data=f"{READ_JSON}, {TABLE}", settings=TOML_IS
    )),
)  # fmt: skip
# What may also be a file that was meant, and is damaged: told only where texts are out of place.
TEXTS: tuple[tuple[Tell, Kind], ...] = (
    (text(b"[", b"extends", b"summary"), Kind(
        "a TOML file", model="settings go with --config {file}, a model with -m"
    )),
    (signs.is_yaml, Kind("a YAML file", settings=TOML_IS)),
    (signs.is_text, Kind(
        "a text file", data="if a table of numbers: --set data.name=array --set data.path={file}"
    )),
)  # fmt: skip
PLAIN_TEXTS = [kind.name for _, kind in TEXTS if kind.name != "a YAML file"]

# Whose weights a safetensors file holds, told by the names of its tensors, each behind a dot.
FAMILIES = (
    (("lora_", "lora.down", ".lora"), "a LoRA"),
    ((".model.diffusion_model.", ".first_stage_model."), "Stable Diffusion (CompVis)"),
    ((".inner_model.",), "k-diffusion"),
    ((".model.enc.", ".enc."), "EDM"),
    ((".down_blocks.", ".mid_block."), "a U-Net of diffusers"),
    ((".input_blocks.", ".middle_block."), "a U-Net of guided-diffusion (OpenAI)"),
    ((".transformer_blocks.", ".x_embedder.", ".pos_embed."), "a diffusion transformer"),
    ((".text_model.", ".vision_model."), "CLIP"),
)
