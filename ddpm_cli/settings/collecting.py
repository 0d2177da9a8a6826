"""What `ddpm collect` is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import layouts
from ddpm_cli.settings.layouts import USUAL, Layout


@dataclass(frozen=True, kw_only=True)
class Titles:
    """What stands beside the rows of a sheet, or above its columns: a key, or the words.

    key: images are put into rows, or columns, by what their records say under it.
    """

    key: str | None = None
    words: Sequence[str] = ()

    @classmethod
    def of(cls, text: str | None, option: str) -> "Titles":
        """From a key, or a list of words between commas."""
        if text is None or "," not in text:
            return cls(key=(layouts.keys(text, option) or (None,))[0])
        return cls(words=tuple(word.strip() for word in text.split(",")))

    def __bool__(self) -> bool:
        return self.key is not None or bool(self.words)


@dataclass(frozen=True, kw_only=True)
class Collect:
    """`ddpm collect`: what is in files and folders, as one sheet, file, archive or folder.

    seeds: what must be there; rows, columns: the titles of a sheet.
    """

    inputs: Sequence[str]
    output: str = "sheet.png"
    seeds: Sequence[int] | None = None
    layout: Layout = USUAL
    rows: Titles = Titles()
    columns: Titles = Titles()
    force: bool = False
    dry_run: bool = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Refuse what says the same twice."""
        if self.columns and self.layout.columns:
            what = "--column-titles says already how many"
            raise ConfigError(f"--columns: {what}; leave it out")
