"""What each sampler of the catalog promises, and how tests call components by name."""

import math
from functools import partial
from typing import Any, NamedTuple

from ddpm_cli.settings import catalog


class Declared(NamedTuple):
    """The order of convergence of a sampler and the settings it is tested with.

    Deterministic samplers converge to the probability-flow ODE; of the others it is the standard
    deviation that converges.  Multistep solvers start on order 1, which shows unless they start
    where there is little to see; errors that nearly cancel show a slope `above` the order.
    Order 0: moves nothing by itself; infinite: exact at any count.
    """

    order: float
    settings: tuple[dict[str, Any], ...]
    draws: int = 1  # a move, unless eta is 0
    ends: tuple[float, float] = (8, 0.2)
    above: float = 0.15
    noisy: bool = False  # leaves noise in the image if it makes few moves
    slow: int = 1  # needs so many times the moves of others for errors as small

    def draws_of(self, settings: dict[str, Any]) -> int:
        """The draws of a move with these settings."""
        return 0 if settings.get("eta") == 0 else self.draws


FAR = (80.0, 0.05)
# The name of a sampler, and more words where settings differ in their order.
SAMPLERS = {
    "ddim": Declared(1, ({"eta": 0.0}, {"eta": 0.5}, {"eta": 1.0}, {"variance": "hat"})),
    "ddim without error": Declared(1, ({"variance": "optimal"},)),
    "consistency": Declared(0, ({},), noisy=True),  # of networks that jump to the end
    "ddpm": Declared(1, tuple({"variance": v} for v in ("small", "large", "learned"))),
    "euler-maruyama": Declared(1, ({},), noisy=True),
    "ddpm without error": Declared(1, ({"variance": "optimal"},)),
    "heun": Declared(2, ({},), draws=0),
    "hold": Declared(0, ({},), draws=0, noisy=True),
    "ode": Declared(math.inf, ({"rtol": 1e-4, "atol": 1e-4},), draws=0),
    "probability-flow": Declared(1, ({},), draws=0, noisy=True, slow=5),
    "reverse-diffusion": Declared(1, ({},), noisy=True),
    "dpm-solver-single of order 2": Declared(
        2, ({"order": 2}, {"order": 2, "solver": "taylor", "r1": 0.4}), draws=0
    ),
    "dpm-solver-single of order 3": Declared(
        3, ({}, {"solver": "taylor", "inner": "midpoint"}), draws=0
    ),
    "dpm-solver-pp-single of order 2": Declared(
        2, ({"eta": 0.0}, {"eta": 0.0, "solver": "taylor", "r1": 0.4}, {"eta": 1.0}), ends=FAR
    ),
    "dpm-solver-pp-single of order 3": Declared(
        3, tuple({"order": 3, "solver": s, "eta": 0.0} for s in ("midpoint", "taylor"))
    ),
    "dpm-solver-multi of order 2": Declared(
        2, ({"eta": 0.0}, {"eta": 0.0, "solver": "taylor"}, {"eta": 1.0}), ends=FAR
    ),
    "dpm-solver-multi of order 3": Declared(3, ({"order": 3, "eta": 0.0},), ends=FAR, above=2),
    "dpm-solver-pp-multi of order 2": Declared(
        2,
        (
            {"eta": 0.0},
            {"eta": 0.0, "solver": "taylor"},
            {"eta": 0.0, "order": 3, "third": "released"},
            {"eta": 1.0},
            {"eta": 1.0, "order": 3},
        ),
        ends=FAR,
    ),
    "dpm-solver-pp-multi of order 3": Declared(
        3, ({"order": 3, "eta": 0.0},), ends=FAR, above=0.5
    ),
    "dpm-solver-pp-sde": Declared(1, ({},), draws=2),
    "dpm-solver-pp-sde of order 2": Declared(2, ({"eta": 0.0},)),
    # The corrector adds one to the order of the predictor.
    "unipc of order 1": Declared(2, ({"order": 1},), draws=0, ends=FAR),
    "unipc of order 2": Declared(3, ({}, {"scale": "h", "expands": "eps"}), draws=0, ends=FAR),
    "unipc of order 3": Declared(3, ({"order": 3},), draws=0, ends=FAR, above=1.2),
}


def load(kind: str, name: str, **settings: Any) -> Any:
    return partial(catalog.load(catalog.find(kind, name.split()[0])), **settings)
