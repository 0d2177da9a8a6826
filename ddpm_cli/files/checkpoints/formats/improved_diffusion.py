"""Models of OpenAI's improved-diffusion (Nichol 2021): state dicts of one set of weights."""

from ddpm_cli.files.checkpoints.containers.content import Content, state_dict, stripped
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.formats.parts import openai, openai_models


def tells(content: Content) -> bool:
    """By the names of its U-Net, without what guided-diffusion added: it resamples by layers."""
    if not openai.tells(content.tree):
        return False
    tensors = stripped(content.tree, "module.")
    return not openai.is_classifier(tensors) and not openai.resamples_in_blocks(tensors)


def read(content: Content, ask: Ask) -> Conversion:
    """Networks as their shapes say; process, prediction and heads are asked for."""
    tensors = stripped(state_dict(content.tree, content.path), "module.")
    return openai_models.discrete(tensors, content.path, ask, "heads")
