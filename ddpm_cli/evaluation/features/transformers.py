"""Vision transformers that saw more kinds of images than Inception did."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal, importing
from ddpm_cli.evaluation import resizing
from ddpm_cli.evaluation import weights as files
from ddpm_cli.evaluation.extractor import Extractor, Seen, digest

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def dinov2(
    device: torch.device,
    *,
    weights: str = "",
    download: bool = False,
    size: Literal["small", "base", "large", "giant"] = "large",
) -> Extractor:
    """1024 features of DINOv2's ViT-L/14, of its class token, for images of any kind (Stein 2023).

    weights: dinov2_vitl14_pretrain.pth of its authors, or timm's file; download fetches timm's.
    """
    library = _timm()
    name = f"vit_{size}_patch14_dinov2"
    options: dict[str, Any] = {"num_classes": 0, "img_size": SIDE, "global_pool": "token"}
    network = library.create_model(name, pretrained=False, **options)
    path = files.place("dinov2", weights, download)
    tensors = _fetched(f"timm/{name}.lvd142m") if path is None else files.read(path)
    kept = {key: value for key, value in tensors.items() if key != "mask_token"}
    if "pos_embed" in kept:
        kept["pos_embed"] = resizing.positions(kept["pos_embed"], SIDE // 14)
    files.load_into(network, kept, weights or "dinov2")
    network.to(device)

    def look(images: Tensor) -> Seen:
        return Seen(network(resizing.normal(resizing.pil_bicubic(images, SIDE), MEAN, STD)))

    settings = {"size": size}
    resize = "pil-bicubic"
    return Extractor("dinov2", digest(tensors), resize, "RGB", look, device, settings=settings)


def clip(
    device: torch.device,
    *,
    weights: str = "",
    download: bool = False,
    model: Literal["ViT-B-32", "ViT-L-14"] = "ViT-L-14",
) -> Extractor:
    """Image features of CLIP's ViT-L/14, as open_clip builds it (Radford 2021, Kynkaanniemi 2023).

    weights: a .safetensors file of open_clip or its authors' .pt; download fetches OpenAI's.
    """
    library = _open_clip()
    path = files.place("clip", weights, download)
    try:
        pretrained = "openai" if path is None else None
        network = library.create_model(f"{model}-quickgelu", pretrained=pretrained)
    except (RuntimeError, OSError) as error:
        raise Refusal(f"clip: {model}: {(str(error).splitlines() or [''])[0]}") from None
    if path is not None:
        files.load_into(network, files.read(path), weights)
    network.eval().requires_grad_(False).to(device)
    side = network.visual.image_size
    side = side if isinstance(side, int) else side[0]

    def look(images: Tensor) -> Seen:
        resized = resizing.pil_bicubic(images, side)
        return Seen(network.encode_image(resizing.normal(resized, CLIP_MEAN, CLIP_STD)))

    known = digest(network.state_dict())
    settings = {"model": model}
    return Extractor("clip", known, "pil-bicubic", "RGB", look, device, settings=settings)


def _fetched(repository: str) -> dict[str, Tensor]:
    """The weights of a repository of the hub, from its cache if they are there."""
    from huggingface_hub import hf_hub_download

    try:
        return files.read(Path(hf_hub_download(repository, "model.safetensors")))
    except (OSError, ValueError, RuntimeError) as error:
        raise Refusal(
            f"{repository}: the download failed: {(str(error).splitlines() or [''])[0]}"
        ) from None


def _timm() -> Any:
    with importing("timm", "eval"):
        import timm
    return timm


def _open_clip() -> Any:
    with importing("open-clip-torch", "clip"):
        import open_clip
    return open_clip
