"""Completion in bash, which takes words apart at each = and adds a space behind them."""

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

# Files beside other words: bash itself would offer them only where there is no other word.
_FILES_TOO = """
    if [[ $response == *$'\\n'file,* && ${#COMPREPLY[@]} -gt 0 ]]; then
        compopt -o filenames
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$2")
    fi

    return 0"""


class Bash(BashComplete):
    """Completion in bash, which takes `sampler.name=ddim` for three words."""

    # A key waits for its value and a folder for a file, without a space behind it.
    source_template = (
        BashComplete.source_template.replace(
            "COMPREPLY+=($value)",
            "COMPREPLY+=($value); [[ $value == *[=/] ]] && compopt -o nospace",
        )
        .replace("COMPREPLY=()\n            compopt -o default", "compopt -o default")
        .replace("\n    return 0", _FILES_TOO)
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor and the one that it is in, those around a = joined.

        The = between an option and its value is left out: two words say the same.
        """
        words, last = super().get_completion_args()
        joined: list[str] = []
        is_open = False  # the word before ends in a = that belongs to it
        for word in [*words, last]:
            if word == "=" and joined and joined[-1].startswith("--"):
                is_open = False
                continue
            if joined and (word == "=" or (is_open and word and not word.startswith("--"))):
                joined[-1] += word
            else:
                joined.append(word)
            is_open = word == "="
        if last == "=" and not is_open:  # the value of an option begins here
            joined.append("")
        self._before = joined[-1].removesuffix("" if last == "=" else last) if last else ""
        return joined[:-1], joined[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """What takes the place of the part behind the last =."""
        return f"{item.type},{item.value.removeprefix(self._before)}"


def install() -> None:
    """Make Click complete in bash as above."""
    add_completion_class(Bash, "bash")
