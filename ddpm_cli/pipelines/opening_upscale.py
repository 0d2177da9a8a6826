"""What `ddpm upscale` does before its work: find the model, and settle what is to be undone."""

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import row_places
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.pipelines.opening import (
    UPSCALE,
    Known,
    Opened,
    chosen,
    refuse_classifier,
    settled,
)
from ddpm_cli.settings import methods
from ddpm_cli.settings.config import RESTORING, Config, Layer, typed
from ddpm_cli.settings.requests import Upscale


def restoring(request: Upscale, known: Known | None = None) -> Opened:
    """The model and settings of `ddpm upscale`; what the model cannot look through is refused.

    known: the model, if it was found before.
    """
    use = request.use
    method = request.chosen_method
    if request.noise and method == "model":
        what = "a model that was trained to upscale does not ask for it, but for --aug-noise"
        fix = f"use that, or --method {methods.NOISY} with an unconditional model"
        raise ConfigError(f"--noise: {what}; {fix}")
    methods.refuse_noise(method, request.noise)
    place, header = restorer(use.model, method, request.task, known, request.asking)
    if not header.data.is_image:
        shown = row_places.shaped(header.data.shape)
        raise Refusal(f"{place.name}: it makes {shown}, no images", "choose another with -m")
    refuse_noise(max(request.noises), header)
    if request.noise and request.is_consistent:
        what = "--consistent makes what is given exact, noise and all"
        raise ConfigError(f"--noise: {what}; leave one of them out")
    below = [operator(header, request.task, request.factor)]
    below += [methods.layer(method)] if method in methods.NAMES else []
    asked, label = request.guiding, use.label
    config = settled(place, header, use.layers, below, asked=asked, label=label, free=RESTORING)
    refuse_operator(config, request.task)
    methods.refuse_idle(config, header.config)
    if "method" in config and method not in methods.NAMES:
        raise ConfigError(f"method.name: give --method {methods.called(config)}")
    if "method" in config and request.is_consistent:
        raise ConfigError(f"--consistent: not with --method {method}; leave it out")
    return Opened(place, header, config)


def restorer(
    model: str | None, method: str, task: str, known: Known | None = None, asking: str = ""
) -> Known:
    """The checkpoint to restore with, trained for it or unconditional; others are refused.

    asking: the option that chose the method.
    """
    if method == "model" and task != UPSCALE:
        raise ConfigError(f"--method model: models are trained to {UPSCALE}; leave --task out")
    is_trained = method in ("auto", "model") and task == UPSCALE

    def suited(header: Header, name: str) -> None:
        refuse_classifier(header, name)
        if header.task not in ("", UPSCALE):
            fix = f"give one with task.name={UPSCALE} or an unconditional one"
            raise Refusal(f"{name}: trained to {header.task}, not to {task}; {fix}")
        if header.task and not is_trained:
            what = f"--task {task}" if method in ("auto", "model") else asking
            raise Refusal(f"{name}: trained to {UPSCALE}; {what} takes an unconditional model")
        if not header.task and method == "model":
            fix = "leave it out, or give one with -m"
            raise ConfigError(f"--method model: {name} was not trained to {UPSCALE}; {fix}")

    return chosen(model, UPSCALE if is_trained else "", suited, known)


def operator(header: Header, task: str, factor: float | None) -> Layer:
    """The operator that --task and --factor, or what the model was trained for, stand for."""
    trained = header.config.get("task")
    if trained:
        if factor not in (None, trained["factor"]):
            was = f"the model was trained for {trained['factor']:g}"
            raise ConfigError(f"--factor {factor:g}: {was}; leave it out")
        knobs = {key: trained[key] for key in ("factor", "filter")}
    else:
        knobs = {} if factor is None else {"factor": factor}
    source = "--task" if factor is None else "--factor"
    return Layer(source, {"operator": {"name": task, **knobs}})


def refuse_operator(config: Config, task: str) -> None:
    """Refuse an operator that --task does not name, or that a trained model does not know."""
    settings = config["operator"]
    trained = config.get("task") or settings
    if settings["name"] != task:
        raise ConfigError(f"operator.name: chosen by --task; give --task {settings['name']}")
    for key in ("factor", "filter"):
        if settings.get(key) != trained.get(key):
            asked, own = typed(settings[key]), typed(trained[key])
            what = f"{asked} asked for, but the model was trained with {own}"
            raise ConfigError(f"operator.{key}: {what}; leave it out")


def refuse_noise(level: float, header: Header) -> None:
    """Refuse to add more noise to what is given than the model has learned to look through."""
    most = header.config.get("task", {}).get("noise", 0.0)
    if level <= most:
        return
    why = f"the model was trained with up to {most:g}; set task.noise to train another"
    if not header.task:
        why = f"only for a model that was trained to {UPSCALE}, with task.noise"
    raise ConfigError(f"--aug-noise {level:g}: {why}")
