"""How likely images or rows are, for the Python API."""

from dataclasses import replace

import torch
from torch import Tensor

from ddpm_cli.api import arguments, rows
from ddpm_cli.api.handle import Handle, finished, parts
from ddpm_cli.api.telling import Telling
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.models import walks
from ddpm_cli.pipelines import nll, nll_plan, opening
from ddpm_cli.pipelines.meter import Meter
from ddpm_cli.pipelines.nll_plan import Measure
from ddpm_cli.settings.nll_requests import Nll


def measured(
    handle: Handle, schedule: Schedule, request: Nll, images: Tensor, telling: Telling, batch: int
) -> Tensor:
    """Bits per dimension float64 [N]; schedule: the model's."""
    info, usual = handle.info, Measure().bits
    opening.refuse_conditional(*handle.named)
    arguments.refuse_measure(request)
    bits = int(request.bits or usual)
    measure = Measure.of(replace(request, bits=None if bits == usual else bits), info)
    layers = request.use.layers
    core = handle.model(nll.settled(*handle.known, schedule, layers, request.method))
    nll_plan.plan(core.config, measure, info, core.schedule)
    x0 = rows.seen(images, info).double()
    x0 = arguments.on_levels(x0, bits, info) if info.is_image else x0
    seen = handle.told(telling, len(x0), core.config)
    counted, each = Meter(core, measure), []
    for part in parts(len(x0), batch):
        own = seen.at(part).told
        each.append(finished(counted(x0[part], range(len(x0))[part], own)))
    every = torch.cat(each)
    walks.refuse_not_finite(every, "a likelihood is no finite number", "more levels")
    return every
