"""The operators that a user's program may name: computations on tensors, none that reach further.

The list says what is allowed. What reads or writes files, draws random numbers, does not check
its bounds or belongs to a package of the user's is not on it, and neither is any Python function.
"""

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

INTEGER_LIMIT = 2**63  # sizes and what is computed of them

_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)", re.ASCII)
_NAMES = """
_adaptive_avg_pool2d _assert_scalar _assert_tensor_metadata _local_scalar_dense _log_softmax
_softmax _to_copy _unsafe_view _upsample_bicubic2d_aa _upsample_bilinear2d_aa abs acos
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d add addcdiv addcmul addmm alias all
alpha_dropout amax amin any arange argmax argmin asin atan atan2 avg_pool1d avg_pool2d avg_pool3d
baddbmm bitwise_and bitwise_not bitwise_or bitwise_xor bmm broadcast_to cat ceil celu
channel_shuffle chunk clamp clamp_max clamp_min clone concat constant_pad_nd contiguous conv1d
conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution copy cos cosh
cosine_similarity cross_entropy_loss cumprod cumsum detach diag diagonal div dot dropout einsum elu
embedding eq erf exp expand expand_as expm1 feature_dropout fill flatten flip floor floor_divide
fmod full full_like gather ge gelu glu grid_sampler grid_sampler_2d group_norm gt hardsigmoid
hardswish hardtanh huber_loss index index_add index_put index_select instance_norm isfinite isinf
isnan item kl_div l1_loss layer_norm le leaky_relu lerp lift_fresh lift_fresh_copy linalg_norm
linalg_vector_norm linear linspace log log10 log1p log2 log_sigmoid log_softmax logical_and
logical_not logical_or logical_xor logsumexp lt masked_fill matmul max max_pool1d max_pool2d
max_pool2d_with_indices max_pool3d maximum mean meshgrid min minimum mish mm movedim mse_loss mul
mv narrow native_group_norm native_layer_norm ne neg new_full new_ones new_zeros nll_loss
nll_loss_nd norm ones ones_like pad permute pixel_shuffle pixel_unshuffle pow prelu prod reciprocal
reflection_pad1d reflection_pad2d relu relu6 remainder repeat repeat_interleave replication_pad1d
replication_pad2d reshape rms_norm roll round rsqrt rsub scalar_tensor scaled_dot_product_attention
scatter scatter_add scatter_reduce select select_scatter selu sigmoid sign silu sin sinh slice
slice_scatter smooth_l1_loss softmax softplus sort split split_with_sizes sqrt square squeeze stack
std std_mean sub sum sym_numel sym_size sym_stride t tan tanh threshold tile to topk transpose tril
triu true_divide trunc type_as unbind unflatten unfold unsqueeze upsample_bicubic2d
upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d var var_mean view
view_as where zeros zeros_like
"""
_ALLOWED = frozenset(_NAMES.split())


def _choose(condition: Any, first: Any, second: Any) -> Any:
    return first if condition else second


def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    """Batch normalization of x [B, C, ...] by running statistics [C], an affine map."""
    scale = (var + eps).rsqrt() if weight is None else (var + eps).rsqrt() * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    wide = [-1, *[1] * (x.ndim - 2)]
    return x * scale.reshape(wide) + shift.reshape(wide)


def _batch_norm_of_graphs(*arguments: Any) -> Tensor:
    x, weight, bias, mean, var, _, _, eps, _ = arguments
    return _batch_norm(x, weight, bias, mean, var, eps)


def _batch_norm_of_core(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, weight, bias, mean, var, _, eps = arguments
    return _batch_norm(x, weight, bias, mean, var, eps), x.new_zeros(0), x.new_zeros(0)


# PyTorch's own backward pass is wrong on CPUs (2.14) for one image whose gradient has channels
# last in memory; these have the gradient of their formula.
_OWN: dict[str, Callable[..., Any]] = {
    "torch.ops.aten.batch_norm.default": _batch_norm_of_graphs,
    "torch.ops.aten._native_batch_norm_legit_no_training.default": _batch_norm_of_core,
}
_SCALAR: dict[str, Callable[..., Any]] = {
    "_operator.add": operator.add,
    "_operator.and_": operator.and_,
    "_operator.eq": operator.eq,
    "_operator.floordiv": operator.floordiv,
    "_operator.ge": operator.ge,
    "_operator.gt": operator.gt,
    "_operator.le": operator.le,
    "_operator.lt": operator.lt,
    "_operator.mod": operator.mod,
    "_operator.mul": operator.mul,
    "_operator.ne": operator.ne,
    "_operator.neg": operator.neg,
    "_operator.or_": operator.or_,
    "_operator.pos": operator.pos,
    "_operator.sub": operator.sub,
    "_operator.truediv": operator.truediv,
    "math.trunc": math.trunc,
    "torch.sym_float": float,
    "torch.sym_int": int,
    "torch.sym_ite": _choose,
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_not": operator.not_,
    "torch.sym_sqrt": math.sqrt,
}


def find(target: str) -> Callable[..., Any] | None:
    """The operator of this name in a graph, or None if a program may not use it."""
    if target in _SCALAR:
        return _bounded(_SCALAR[target])
    if target in _OWN:
        return _OWN[target]
    named = _ATEN.fullmatch(target)
    # A name that ends in _ changes its first argument in place and is otherwise the same.
    if named is None or named[1].removesuffix("_") not in _ALLOWED or "out" in named[2]:
        return None
    found = getattr(getattr(torch.ops.aten, named[1], None), named[2], None)
    return found if isinstance(found, torch._ops.OpOverload) else None


def fault(name: str, arguments: dict[str, Any]) -> str:
    """Why a call would not be a function of its inputs alone; empty if it is one.

    arguments: those of the call by their names in the operator's schema.
    """
    if arguments.get("train") is True or arguments.get("training") is True:
        return "it is in training mode: export it after .eval()"
    if arguments.get("dropout_p"):
        return "it drops values at random: export it after .eval()"
    if "instance_norm" in name and arguments.get("running_mean") is not None:
        return "it changes running statistics: export it after .eval()"
    return ""


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers that refuses all else, and results beyond 64 bits."""

    def bounded(*arguments: Any) -> Any:
        if not all(isinstance(argument, (bool, int, float)) for argument in arguments):
            raise TypeError("a size is no number")
        made = function(*arguments)
        if abs(made) > INTEGER_LIMIT:
            raise OverflowError("a size is beyond 64 bits")
        return made

    return bounded
