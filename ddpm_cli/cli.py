"""The `ddpm` command: its verbs, and the one place where faults become messages and exit codes."""

import errno
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from ddpm_cli import __version__, console, signals
from ddpm_cli.commands import (
    collect,
    convert,
    encode,
    fit,
    guide,
    info,
    inpaint,
    interpolate,
    nll,
    presets,
    report,
    sample,
    schedule,
    selftest,
    train,
    upscale,
)
from ddpm_cli.commands import (
    eval as evaluate,
)
from ddpm_cli.errors import ConfigError, PartialFailure, Refusal, nearest, one_line
from ddpm_cli.foreign import missing
from ddpm_cli.options import bash, model_names, schema
from ddpm_cli.options.repeats import Verbs
from ddpm_cli.settings import peers
from ddpm_cli.settings import presets as shipped

_PROBLEM_LIMIT = 6  # problems shown at once
_PLAIN = (ConfigError, click.UsageError, SystemExit)  # no traceback says more of them

_SYSTEM = {  # what helps against faults of the system
    errno.ENOSPC: "free some space, or write elsewhere with -o",
    errno.EDQUOT: "free some of your quota, or write elsewhere with -o",
    errno.EROFS: "nothing can be written there; choose another -o",
    errno.EACCES: "choose a place with -o where you may write, or ask for the right to it",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
}
_MODEL = ("-m", "--model")

_EPILOG = """\b
Environment:
  DDPM_MODEL DDPM_PRESET DDPM_SEED DDPM_BATCH DDPM_DEVICE DDPM_DTYPE
  stand for the options of the same name; DDPM_SET holds what --set
  would, separated by semicolons. Options win over the environment.

\b
Completion of commands, options, models, settings and their values:
  ~/.bashrc  eval "$(_DDPM_COMPLETE=bash_source ddpm)"
  ~/.zshrc   eval "$(_DDPM_COMPLETE=zsh_source ddpm)"
  ~/.config/fish/config.fish  _DDPM_COMPLETE=fish_source ddpm | source

\b
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration,
3 some inputs failed, 130 stopped by Ctrl-C, 143 stopped by SIGTERM,
129 by a lost terminal."""


def _class_names(model: str | None) -> list[str]:
    """What --class completes; only a shell that completes waits for the import."""
    from ddpm_cli.pipelines import opening

    return opening.class_names(model)


def _value_names(model: str | None) -> list[str]:
    """What --value completes."""
    from ddpm_cli.pipelines import opening

    return opening.value_names(model)


bash.install()


@click.group(
    cls=Verbs,
    epilog=_EPILOG,
    invoke_without_command=True,
    context_settings={
        "max_content_width": 99,
        "obj": model_names.Classes(_class_names, _value_names),
    },
)
@click.help_option("-h", "--help")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=schema.show,
    help="Print the whole command line and all settings as one JSON document, and exit.",
)
@click.version_option(__version__, "-V", "--version", prog_name="ddpm")
@click.pass_context
def ddpm(ctx: click.Context) -> None:
    """Train diffusion models and sample from them."""
    if ctx.invoked_subcommand is None:
        console.result(ctx.get_help())


VERBS = (
    train,
    sample,
    guide,
    encode,
    interpolate,
    inpaint,
    upscale,
    nll,
    evaluate,
    fit,
    collect,
    convert,
    info,
    report,
    presets,
    schedule,
    selftest,
)
for _module in VERBS:
    ddpm.add_command(_module.command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Take over the signals, run the command line and return the exit code."""
    signals.install()
    return run(arguments)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, whose signals are taken over, and return the exit code."""
    console.occupy_closed_streams()
    console.set_verbosity(0)
    code = _attempt(lambda: ddpm.main(args=arguments, prog_name="ddpm", standalone_mode=False))
    lost = _attempt(console.finish)
    # A command that was asked to stop returns after saving; its exit code says so.
    return code or lost or signals.exit_code()


def _attempt(action: Callable[[], object]) -> int:
    try:
        outcome = action()
    except BaseException as error:  # noqa: BLE001 - the one place that may not let go of any
        code, lines = explain(error)
        if console.verbosity() >= 2 and not isinstance(error, _PLAIN):
            lines = ["".join(traceback.format_exception(error)).rstrip(), *lines]
        if lines:
            # Every process of a group reads the same command line.
            tell = console.error_of_all if isinstance(error, _PLAIN) else console.error
            tell("\n".join(lines))
        return code
    return outcome if isinstance(outcome, int) else 0


def explain(error: BaseException) -> tuple[int, list[str]]:
    """Return the exit code of a fault, and the lines that tell the user what it is."""
    if isinstance(error, SystemExit):
        return (error.code if isinstance(error.code, int) else int(error.code is not None)), []
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return 130, []
    if isinstance(error, BrokenPipeError):
        return 141, []
    if isinstance(error, ConfigError):
        return error.exit_code, _problems(error)
    if isinstance(error, click.UsageError):
        return error.exit_code, _usage(error)
    if isinstance(error, (Refusal, PartialFailure)):
        return error.exit_code, f"Error: {error.message}".splitlines()
    if isinstance(error, click.ClickException):
        return error.exit_code, f"Error: {error.format_message()}".splitlines()
    return 1, _failure(error)


def _problems(error: ConfigError) -> list[str]:
    shown = [f"Error: {problem}" for problem in error.problems[:_PROBLEM_LIMIT]]
    more = len(error.problems) - len(shown)
    return [*shown, *[f"... and {more} more like these"] * bool(more), *error.hints]


def _usage(error: click.UsageError) -> list[str]:
    message = one_line(" ".join(error.format_message().split()))
    ctx = error.ctx
    if ctx is None:
        return [f"Error: {message}"]
    if fix := _suggestion(error, message, ctx):
        message = f"{message.partition('. ')[0].rstrip('.').removesuffix(' integer range')}. {fix}"
    return [f"Error: {message}", f"Try '{ctx.command_path} --help' for help."]


def _suggestion(error: click.UsageError, message: str, ctx: click.Context) -> str:
    """What was meant, if that is known better than Click knows it."""
    named = message.split("'")[1] if "'" in message else ""
    if isinstance(ctx.command, click.Group):
        if isinstance(error, click.NoSuchOption):
            return f"Options follow the command: ddpm sample {error.option_name}"
        if meant := peers.verb(named.lower()):
            return f"Did you mean '{meant}'?"
        if "Did you mean" in message or not message.startswith("No such command"):
            return ""
        fix = nearest(named, ctx.command.commands)  # older releases of Click suggest no commands
        return fix[0].upper() + fix[1:]
    if isinstance(error, click.NoSuchOption):
        known = (flag for option in ctx.command.params for flag in option.opts)
        if error.option_name in _MODEL and "model" in {p.name for p in ctx.command.params}:
            return f"The model stands on its own: {ctx.command_path} mnist"
        meant = peers.option(error.option_name, known)
        return f"Did you mean '{meant}'?" if meant else ""
    if "unexpected extra argument" in message:
        return _unexpected(message.partition("(")[2].rstrip(")."), ctx)
    return ""


def _unexpected(words: str, ctx: click.Context) -> str:
    """Where words belong that stand on their own on a command line."""
    bare = [item for item in ctx.params.get("assignments") or () if "=" not in item]
    if bare:
        return f"Write --set {bare[0]}={words.split()[0]}"
    if ctx.info_name == "train":
        if words.split()[0] in shipped.names():
            return f"That is a preset: ddpm train --preset {words.split()[0]}"
        return f"Data are a setting: --set data.name=folder --set data.path={words.split()[0]}"
    flags = {flag for option in ctx.command.params for flag in option.opts}
    if "--from" in flags and words.split()[0].endswith(".safetensors"):
        return f"A model is -m {words.split()[0]}; latents are --from {words.split()[0]}"
    if "--init" in flags:
        return f"To start from an image: --init {words.split()[0]} --at 40%"
    return ""


def _failure(error: BaseException) -> list[str]:
    """Describe a fault that no command foresaw: of the system, of an input, or of ddpm."""
    kind, text = type(error).__name__, one_line(str(error))
    if isinstance(error, OSError):
        if isinstance(error, FileNotFoundError) and isinstance(error.filename, (str, Path)):
            what = error.strerror or missing.NO_FILE
            refusal = missing.refusal(Path(error.filename), "settings", what)
            return f"Error: {refusal.message}".splitlines()
        place = f"{error.filename!s}: " if error.filename is not None else ""
        fix = _SYSTEM.get(error.errno or 0)
        return [
            f"Error: {one_line(place)}{error.strerror or text or kind}",
            *([fix] if fix else []),
        ]
    if isinstance(error, MemoryError) or _is_torch_memory_error(kind, text):
        return ["Error: out of memory", "lower --batch, or choose a smaller model"]
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        what = f"torch could not compile the network: {kind}: {text}"
        return [f"Error: compute.compile: {what}", "leave out --compile"]
    if isinstance(error, UnicodeError):
        return [f"Error: text in an unexpected encoding: {text}"]
    if isinstance(error, RecursionError):
        return ["Error: the input is nested too deeply"]
    if isinstance(error, ImportError):
        return [f"Error: {text}", "the installation is incomplete: pip install ddpm-cli"]
    if kind == "SafetensorError":
        return [f"Error: the model file is corrupt: {text}"]
    return [
        f"Error: internal: {kind}: {text}",
        "this is a fault in ddpm: run it again with -vv and report the traceback",
    ]


def _is_torch_memory_error(kind: str, text: str) -> bool:
    """Tell whether torch ran out of memory, without importing it."""
    return kind == "OutOfMemoryError" or "DefaultCPUAllocator: can't allocate" in text
