"""What `[train]` says of measures of samples during a run, as a protocol of `ddpm eval`."""

from collections.abc import Mapping
from typing import Any

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings import code_names, protocols
from ddpm_cli.settings.components import canonical
from ddpm_cli.settings.config import picked
from ddpm_cli.settings.protocols import Protocol

FEATURES, METRIC = "train.eval_features", "train.eval_metric"
PLACES = ("weights", "download")  # of a network's weights, which are nobody's convention


def protocol(train: Mapping[str, Any]) -> Protocol | None:
    """What is measured every `eval_every` steps of a run; None of a run that measures nothing.

    eval_protocol: what `ddpm eval --protocol` names, whose features and metrics hold; none: those
    of eval_features and eval_metric, digits and fid unless told. Both are NAME or
    NAME:knob=value,knob=value. Beside a protocol eval_features says where the weights of its
    network are, and eval_metric picks one of its metrics; else all are told, and the first of them
    chooses what is kept as best.
    """
    if not train["eval_every"]:
        if train["keep_best"]:
            fix = "--set train.eval_every=1000 measures samples every 1000 steps"
            raise ConfigError(f"train.keep_best: the best by what? {fix}")
        return None
    name, features = train["eval_protocol"], train["eval_features"]
    if code_names.is_code(features):
        why = "code runs from the command line alone, as settings may come from others"
        raise ConfigError(f"{FEATURES}: {features}: {why}; ddpm eval --features takes it")
    asked = protocols.given(features, FEATURES) if features else {}
    if name is None:
        chosen = picked("features", {"name": "digits"} | asked, FEATURES)
        metric = picked("metric", protocols.given(train["eval_metric"] or "fid", METRIC), METRIC)
        known = Protocol(protocols.NONE, "", train["eval_count"], chosen, (metric,))
    elif name in protocols.names():
        known = _picked(_placed(protocols.read(name), asked), train["eval_metric"])
    else:
        fix = nearest(name, [*protocols.names(), "none"])
        raise ConfigError(f"train.eval_protocol: no protocol is named {name!r}; {fix}")
    _refuse_nowhere(known.features)
    return known


def _placed(known: Protocol, asked: Mapping[str, Any]) -> Protocol:
    """A protocol whose weights lie where it is said; nothing else of its features may change."""
    for key, value in asked.items():
        own = str(known.features.get(key))
        if key not in PLACES and canonical(str(value)) != own:
            fix = "--set train.eval_protocol=none takes any"
            raise ConfigError(f"{FEATURES}: {key} of protocol {known.name} is {own}; {fix}")
    places = {key: asked[key] for key in PLACES if key in asked}
    return known._replace(features=picked("features", {**known.features, **places}, FEATURES))


def _picked(known: Protocol, text: str) -> Protocol:
    """A protocol with one of its metrics alone; with all if none is named."""
    if not text:
        return known
    asked = protocols.given(text, METRIC)
    name = canonical(str(asked["name"]))
    for metric in known.metrics:
        if name == metric["name"] and picked("metric", {**metric, **asked}, METRIC) == metric:
            return known._replace(metrics=(metric,))
    names = ", ".join(metric["name"] for metric in known.metrics)
    fix = "--set train.eval_protocol=none takes any"
    raise ConfigError(f"{METRIC}: {text} is none of protocol {known.name} ({names}); {fix}")


def _refuse_nowhere(features: Mapping[str, Any]) -> None:
    """Refuse a network whose weights are neither named nor to be fetched."""
    if features.get("weights", "there") or features.get("download"):
        return
    name = features["name"]
    fix = f"--set {FEATURES}={name}:weights=FILE names them, {name}:download=true fetches them"
    raise ConfigError(f"{FEATURES}: where are the weights of {name}? {fix}")
