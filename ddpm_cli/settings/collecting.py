"""What `ddpm collect` is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import layouts
from ddpm_cli.settings.layouts import USUAL, Layout

STDOUT = "-"
SHEETS = (".png", ".jpg", ".jpeg", ".webp")
NUMBERS = (".npz", ".npy", ".safetensors")
ZIP = ".zip"


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

    @property
    def is_sheet(self) -> bool:
        """Whether all become one picture."""
        return self.output == STDOUT or (
            Path(self.output).suffix.lower() in SHEETS and not self.is_folder
        )

    @property
    def is_folder(self) -> bool:
        """Whether each becomes a file of its own."""
        path = Path(self.output)
        return self.output != STDOUT and (
            self.output.endswith("/") or path.is_dir() or not path.suffix
        )

    def __post_init__(self) -> None:
        """Refuse a place of no kind, what is of no use there, and what is said twice."""
        if not (self.is_sheet or self.is_folder or Path(self.output).suffix in (*NUMBERS, ZIP)):
            known = ", ".join((*SHEETS, *NUMBERS, ZIP))
            raise ConfigError(f"-o {self.output}: unknown ending; use {known} or a folder")
        if self.output == STDOUT and self.as_json:
            raise ConfigError("--json: stdout holds the sheet of -o -; leave one of them out")
        if not self.is_sheet:
            self.layout.refuse_idle(self.output)
            for titles, option in ((self.rows, "--row-titles"), (self.columns, "--column-titles")):
                if titles:
                    what = f"of a sheet, as -o x.png, and -o {self.output} is none"
                    raise ConfigError(f"{option}: {what}; leave it out")
        if self.columns and self.layout.columns:
            what = "--column-titles says already how many"
            raise ConfigError(f"--columns: {what}; leave it out")
