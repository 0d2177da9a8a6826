"""Settings that follow the data of a run: `auto`, until the data are there."""

from ddpm_cli.settings.config import Config

AUTO = "auto"


def is_open(config: Config) -> bool:
    """Whether the number of classes is that of data which have not been read yet."""
    return bool(config["network"].get("classes") == AUTO)


def as_before(config: Config, before: Config) -> Config:
    """A configuration of a run that is gone on with: what follows the data stays as it was."""
    data, old = config["data"], before["data"]
    if data.get("labels") == AUTO and "labels" in old:
        config = config | {"data": data | {"labels": old["labels"]}}
    if config.get("teacher", {}).get("digest") == "" and "teacher" in before:
        kept = config["teacher"] | {"digest": before["teacher"]["digest"]}
        config = config | {"teacher": kept}
    if not is_open(config):
        return config
    return _of_classes(config, before["network"].get("classes", 0))


def settled(config: Config, count: int) -> Config:
    """The configuration for data of so many classes; one alone tells nothing apart."""
    return _of_classes(config, count if count > 1 else 0) if is_open(config) else config


def _of_classes(config: Config, count: int) -> Config:
    return config | {"network": config["network"] | {"classes": count}}
