"""The Inception network that FID is defined in."""

import io
from typing import Any, Literal

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal, importing
from ddpm_cli.evaluation import resizing
from ddpm_cli.evaluation import weights as files
from ddpm_cli.evaluation.extractor import Extractor, Seen, digest

SIDE = 299
SPATIAL = 7  # channels of mixed 6 that sFID takes
_LAYERS = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1",
    "Conv2d_4a_3x3", "MaxPool_2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b",
    "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool",
)  # fmt: skip


def inception(
    device: torch.device,
    *,
    weights: str = "",
    download: bool = False,
    resize: Literal["tf-bilinear", "pil-bicubic"] = "tf-bilinear",
) -> Extractor:
    """2048 features of TensorFlow's Inception v3 of 2015, 2023 spatial ones and 1008 classes.

    weights: torch-fidelity's file weights-inception-2015-12-05-6726825d.pth; download fetches it.
    resize: as FID's first code did (tf-bilinear), or as clean-fid does (pil-bicubic).
    """
    tensors = _weights(weights, download)
    network = _network(tensors, weights).to(device)
    rule = resizing.tf_bilinear if resize == "tf-bilinear" else resizing.pil_bicubic

    def look(images: Tensor) -> Seen:
        return _seen(network, (rule(images, SIDE) - 128) / 128)

    return Extractor("inception", digest(tensors), resize, "RGB", look, device)


def _seen(network: Any, x: Tensor) -> Seen:
    """x [B, 3, 299, 299] in [-1, 1] -> pooled features, spatial ones, probabilities.

    The spatial ones are the first 7 channels of `mixed_6/conv` in the order of TensorFlow, places
    first; the probabilities leave out the biases of the last layer (Salimans 2016's code).
    """
    spatial = None
    for name in _LAYERS:
        if name == "Mixed_6d":
            spatial = network.Mixed_6d.branch1x1(x)[:, :SPATIAL].permute(0, 2, 3, 1).flatten(1)
        x = getattr(network, name)(x)
    features = x.flatten(1)
    return Seen(features, spatial, (features @ network.fc.weight.T).softmax(1))


def _weights(place: str, download: bool) -> dict[str, Tensor]:
    path = files.place("inception", place, download)
    if path is not None:
        return files.read(path)
    library = _library()
    try:
        tensors: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            library.URL_INCEPTION_V3, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise Refusal(f"inception: the download failed: {error}") from None
    return tensors


def _network(tensors: dict[str, Tensor], source: str) -> Any:
    """torch-fidelity's network. It unpickles the file it is given, so it gets one of ours."""
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    buffer.seek(0)
    try:
        return _library().FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=buffer
        )
    except RuntimeError as error:
        why = (str(error).splitlines() or [""])[-1].strip()[:120]
        raise Refusal(f"{source}: weights of another network: {why}") from None


def _library() -> Any:
    with importing("torch-fidelity", "eval"):
        from torch_fidelity import feature_extractor_inceptionv3
    return feature_extractor_inceptionv3
