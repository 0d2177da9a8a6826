"""Models and images that cannot be used as they were given."""

import foreign_files as make
import torch

from first_contacts import GREY, G, Row, image, model

MODELS = [
    model("m.pt", make.pytorch({"a": torch.zeros(1)}), "a PyTorch file|weights of other programs"),
    model("m.pth", make.pytorch({"a": torch.zeros(1)}, is_old=True), "a PyTorch file"),
    model("m.ckpt", make.pytorch({"pytorch-lightning_version": "2"}), "a PyTorch file"),
    model("edm.pkl", make.CIFAR_PICKLE, "a Python pickle|not opened|ddpm convert edm.pkl -o edm."),
    model("m.onnx", make.ONNX, "an ONNX model"),
    model("m.gguf", make.GGUF, "a GGUF model"),
    model("m.h5", make.HDF5, "an HDF5 file"),
    model("m.keras", make.zipped({"metadata.json": b"{}"}), "a Keras model"),
    model("m.msgpack", make.FLAX, "a msgpack file, as of JAX"),
    model(
        "m.safetensors", make.safetensors(["lora_unet_down.lora_down.weight"]),
        "another program, as of a LoRA",
    ),
    model(
        "m.safetensors", make.safetensors(["model.diffusion_model.input_blocks.0.weight"]),
        "Stable Diffusion",
    ),
    model(
        "m.safetensors", make.safetensors(["down_blocks.0.resnets.0.conv1.weight"]),
        "a U-Net of diffusers",
    ),
    model("m.safetensors", make.safetensors(["model.enc.32x32_conv.weight"]), "as of EDM"),
    model("m.safetensors", make.safetensors(["inner_model.proj_in.weight"]), "as of k-diffusion"),
    model("m.safetensors", make.LFS, "a Git LFS pointer|git lfs pull"),
    model("m.safetensors", make.PAGE, "a web page"),
    model("m.safetensors", b"", "an empty file|fetch it again"),
    model("m.safetensors", make.safetensors(["a", "b"])[:60], "corrupt|download it again", ""),
    model("m.png", GREY, "an image|ddpm encode m.png -m mnist"),
    model("m.toml", b'[data]\nname = "mnist"\n', "a TOML file|--config m.toml"),
    model("m.zip", make.zipped({"a": b""}), "a zip file|python -m zipfile -e m.zip m"),
    model("m.npz", make.npz(a=[1]), "an .npz file"),
    Row(
        {"p/model_index.json": b"{}"}, "sample -m p", 1,
        "p: a pipeline of diffusers|ddpm convert p -o p.safetensors", "train one",
    ),
    Row({"p/config.json": b"{}"}, "sample -m p", 1, "diffusers or transformers"),
    Row(
        {"r/config.toml": b""}, "sample -m r", 1,
        "a run that has saved no model yet|ddpm train --config r/config.toml -o r",
    ),
    Row(
        {"c/a.safetensors": b"", "c/b.safetensors": b""}, "sample -m c", 1,
        "a folder of models|-m c/b.safetensors",
    ),
    Row({"c/r1/model.safetensors": b""}, "sample -m c", 1, "a folder of runs|-m c/r1"),
    Row({"c/a.ckpt": b""}, "sample -m c", 1, "a folder of PyTorch files"),
    Row({"c/": b""}, "sample -m c", 1, "no model.safetensors|ddpm train -o c"),
    Row(
        {}, "sample -m https://x.org/m.safetensors", 1,
        "an address|curl -LO https://x.org/m.safetensors",
    ),
    Row(
        {}, "sample -m google/ddpm-cifar10-32", 1,
        "no such file|if you mean google/ddpm-cifar10-32 on the Hugging Face Hub: "
        "ddpm convert hf:google/ddpm-cifar10-32 -o ddpm-cifar10-32.safetensors, then -m ",
    ),
    Row({"models/a.txt": b""}, "sample -m models/foo", 1, "models/foo: no such file", "Hugging"),
    Row({"runs/t/model.safetensors": b""}, "sample -m runs/te", 1, "did you mean runs/t?"),
    Row({}, "inpaint a.png --mask https://x.org/a.png", 1, "a.png: No such file"),
    Row({"a.png": G}, "inpaint a.png --mask https://x.org/m.png", 1, "curl -LO https://x.org/m.png"),
    Row({}, "info https://x.org/a.png", 1, "https://x.org/a.png: an address|curl -LO"),
    Row({}, "info https://x.org/a.csv", 1, "https://x.org/a.csv: an address|curl -LO"),
    Row({"cats.png": G}, "inpaint cat.png --mask 1,1,5,5", 1, "did you mean cats.png?"),
    Row(
        {}, "sample -m hf://me/model", 1,
        "a model on the Hugging Face Hub|ddpm convert hf:me/model -o model.safetensors",
    ),
    Row(
        {}, "sample -m hf:me/model@v1", 1,
        "hf:me/model@v1: a model on the Hugging Face Hub|"
        "ddpm convert hf:me/model@v1 -o model.safetensors",
    ),
    Row({}, "sample -m mnist.safetensors", 1, "no such file|type -m mnist", "mnist-upscale"),
]  # fmt: skip
IMAGES = [
    image("a.png", make.PAGE, "a web page|fetch the file itself"),
    image("a.png", make.LFS, "a Git LFS pointer|git lfs pull"),
    image("a.png", b"", "empty file"),
    image("a.png", G[:60], "the end of the file is missing"),
    image("a.svg", make.SVG, "an SVG drawing|magick a.svg a.png"),
    image("a.heic", make.HEIC, "a HEIC photograph|magick a.heic a.png"),
    image("a.avif", make.AVIF, "an AVIF image|magick"),
    image("a.cr2", make.RAW_CR2, "a raw photograph|magick"),
    image("a.jp2", make.JP2, "a JPEG 2000 image"),
    image("a.jxl", make.JXL, "a JPEG XL image"),
    image("a.exr", make.EXR, "an OpenEXR image"),
    image("a.psd", make.PSD, "a Photoshop file"),
    image("a.ppm", make.png((8, 8), "RGB", "PPM"), "a PNM image"),
    image("a.pdf", make.PDF, "a PDF file|pdftoppm -png a.pdf a"),
    image("a.mp4", make.MP4, "a video (MP4)|ffmpeg -i a.mp4 a/%05d.png"),
    image("a.dcm", make.DICOM, "a DICOM file|pydicom.dcmread('a.dcm')"),
    image("a.npy", make.npy([1]), "a .npy array|Image.fromarray(numpy.load('a.npy'))"),
    image("a.zip", make.zipped({"a.png": G}), "a zip file|python -m zipfile -e a.zip a"),
    image("a.safetensors", make.safetensors(["a"]), "a safetensors file|ddpm sample --from"),
    image("a.csv", b"1,2\n", "a text file"),
    Row(
        {}, "inpaint https://x.org/a.png --mask 1,1,5,5", 1,
        "an address|curl -LO https://x.org/a.png",
    ),
    Row({}, "inpaint nosuch.png --mask 1,1,5,5", 1, "nosuch.png: No such file"),
    Row(
        {"a.png": GREY, "m.png": make.png((56, 56), "L")}, "inpaint a.png --mask m.png", 1,
        "56x56 pixels, its image a.png has 28x28|of the size of the image",
    ),
    Row(
        {"a.png": make.png((90, 60))}, "nll a.png", 1,
        "90x60 pixels, the model takes 28x28|--fit crop",
    ),
    Row(
        {"a.png": make.png((90, 60))}, "encode a.png", 1,
        "90x60 pixels, the model takes 28x28|--fit crop",
    ),
    Row(
        {"a.png": make.png((5000, 5000), "1")}, "encode a.png", 1,
        "too many pixels (5000x5000)|magick FILE -resize",
    ),
    Row({"a.png": GREY}, "interpolate a.png", 2, "name two images or more|--seeds 1,2"),
    Row({"a.png": GREY}, "sample --from a.png", 1, "no latents|--init a.png --at 40%"),
    Row(
        {"l.safetensors": make.safetensors(["latents"])}, "encode l.safetensors", 1,
        "ddpm sample --from l.safetensors",
    ),
    Row(
        {"a.png": GREY}, "nll a.png -m mnist-classifier", 1,
        "a classifier, which draws nothing|ddpm guide --classifier mnist-classifier",
    ),
    Row({}, "sample -m mnist-inpaint", 1, "which is given an image|ddpm inpaint IMAGE.png --mask"),
    Row(
        {"a.png": GREY}, "inpaint a.png --mask 1,1,5,5 -m mnist-upscale", 1,
        "a model for upscale, not for inpaint|-m mnist-inpaint",
    ),
    Row(
        {"a.png": GREY}, "upscale a.png -m mnist-inpaint", 1, "trained to inpaint, not to upscale",
    ),
]  # fmt: skip
