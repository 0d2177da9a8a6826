"""What a format makes of a foreign checkpoint, and how it asks for what the file does not say."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from torch import Tensor

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.settings.config import typed

Weights = Literal["ema", "model"]
_Value = TypeVar("_Value")


class Conversion(NamedTuple):
    """A foreign model in our terms.

    settings: what the file says, in the tables and keys of a configuration: everything of the
    model that is not a default. tensors: under the names of our network. info: shape and classes
    of the data. weights: whose these are, in words ("ema, decay 0.9999"). step: how long it was
    trained, if that is said. notes: what a user must know, a sentence each. licence: of the
    weights or the format, if there is one to carry over.
    """

    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    info: DataInfo
    weights: str
    step: int = 0
    notes: tuple[str, ...] = ()
    licence: str = ""


class Ask:
    """What a user told of a file, and what is still missing.

    told: settings by table and key; weights: which of several sets is wanted.
    """

    def __init__(self, told: Mapping[str, Any], weights: Weights = "ema") -> None:
        self._told, self.weights = told, weights
        self.missing: dict[str, str] = {}
        self.assumed: dict[str, Any] = {}

    def told(self, key: str) -> Any:
        """What was told for table.key; None of nothing."""
        table, _, knob = key.partition(".")
        settings = self._told.get(table)
        if not isinstance(settings, Mapping):
            return None
        return {key.replace("-", "_"): value for key, value in settings.items()}.get(knob)

    def need(self, key: str, choices: str, stand_in: _Value) -> _Value:
        """What was told for table.key, which no file says; choices: what it may be, in words.

        Nothing told: it is listed as missing, and a stand-in lets the reading go on.
        """
        value = self.told(key)
        if value is None:
            self.missing[key] = choices
            return stand_in
        return self._typed(key, value, stand_in)

    def assume(self, key: str, value: _Value, why: str) -> _Value:
        """What was told for table.key, or what is nearly always so; why: in a few words."""
        given = self.told(key)
        if given is None:
            self.assumed[key] = {"value": value, "why": why}
            return value
        return self._typed(key, given, value)

    def _typed(self, key: str, value: Any, like: _Value) -> _Value:
        number = isinstance(like, float) and type(value) is int
        if not isinstance(value, type(like)) and not number:
            raise ConfigError(f"{key}: {typed(value)} does not fit; give one like {typed(like)}")
        return float(value) if number else value  # type: ignore[return-value]
