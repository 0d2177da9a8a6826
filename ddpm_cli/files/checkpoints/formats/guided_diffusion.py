"""Models of OpenAI's guided-diffusion (Dhariwal 2021): state dicts of one set of weights.

U-Nets, upsamplers and classifiers of 64 to 512 pixels; files of DPS and deepinv have their keys.
"""

from ddpm_cli.files.checkpoints.containers.content import Content, state_dict, stripped
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.formats.parts import openai, openai_models

ORDERS = "heads (legacy), or parts of use_new_attention_order"


def tells(content: Content) -> bool:
    """By the names of its U-Net, which other formats share."""
    return openai.tells(content.tree)


def read(content: Content, ask: Ask) -> Conversion:
    """Networks as their shapes say; process, prediction, heads and order of rows are asked for."""
    tensors = stripped(state_dict(content.tree, content.path), "module.")
    qkv = ask.need("network.qkv", ORDERS, "heads")
    return openai_models.discrete(tensors, content.path, ask, qkv)
