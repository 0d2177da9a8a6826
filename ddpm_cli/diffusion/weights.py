"""The weights of what is trained, a network and its schedule, by the names of checkpoints."""

from torch import Tensor, nn

_NETWORK = "network."  # the prefix that checkpoints leave out


def named(module: nn.Module) -> dict[str, Tensor]:
    """All trained tensors: the network's by their own names, a learned schedule's after it."""
    return {name.removeprefix(_NETWORK): value for name, value in module.state_dict().items()}


def take(module: nn.Module, tensors: dict[str, Tensor], *, assign: bool = False) -> None:
    """Take over what `named` gave; RuntimeError if it belongs to another network."""
    known = module.state_dict()
    names = {name: name if name in known else _NETWORK + name for name in tensors}
    module.load_state_dict({names[k]: value for k, value in tensors.items()}, assign=assign)
