"""The `tenku` command: parse, call, print.

Every failure that a user can cause ends as one line `error: …` on stderr and exit code 2, Ctrl-C as exit code
130. Set TENKU_DEBUG=1 to see the traceback instead.
"""

import codecs
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tenku import __version__
from tenku.cli import (
    again,
    batch,
    edits,
    evaluation,
    examples,
    export,
    generation,
    models,
    prompts,
    show,
    training,
    world,
)
from tenku.cli._aliases import with_new_names
from tenku.cli._options import say
from tenku.system.machine import install_command, keep_freed_memory

app = typer.Typer(
    name="tenku", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
)


def say_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def tenku(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=say_version, is_eager=True)
    ] = False,
) -> None:
    """A sentence becomes a video, on your own machine."""


app.command("generate")(generation.generate)
app.command("animate")(edits.animate)
app.command("extend")(edits.extend)
app.command("connect")(edits.connect)
app.command("loop")(edits.loop)
app.command("remix")(edits.remix)
app.command("storyboard")(edits.storyboard)
app.command("expand")(prompts.expand)
app.command("examples")(examples.examples)
app.command("vocabulary")(generation.vocabulary)
app.command("show")(show.show)
app.command("again")(again.again)
app.command("batch")(batch.batch)
app.command("sheet")(generation.sheet)
app.command("doctor")(generation.doctor)
app.command("models")(models.models)
app.command("pull")(models.pull)
app.command("world")(world.world)
app.command("train-autoencoder")(training.train_autoencoder)
app.command("encode")(training.encode)
app.command("train")(training.train)
app.command("export")(export.export)
app.add_typer(evaluation.app, name="evaluate")

INTERRUPTED = 130
# The extra that brings a package; all others come with the miniature world.
EXTRAS = dict.fromkeys(
    ("diffusers", "transformers", "huggingface_hub", "accelerate", "ftfy", "torchao"), "open-weights"
) | {"matplotlib": "plots", "pillow_heif": "heif"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 2 the user's error, 130 Ctrl-C. Our own bugs raise."""
    debug = os.environ.get("TENKU_DEBUG", "") not in ("", "0")
    keep_freed_memory()
    speak_any_language()
    try:
        code = app(args=with_new_names(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
        if code == INTERRUPTED:  # typer's own answer to Ctrl-C
            say("interrupted")
        return code if isinstance(code, int) else 0
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        # The reader went away (`tenku vocabulary | head`). Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        message = explain(error)
        if debug or message is None:
            raise
        if message:  # the help is shown already where there is none
            say(f"error: {message}")
        if message and "--json" in (sys.argv[1:] if arguments is None else arguments):
            print(json.dumps({"error": message}, ensure_ascii=False))
        return 2


def speak_any_language() -> None:
    """Let stdout and stderr pass on what their encoding cannot say as the bytes that file names have (UTF-8).

    So a path that is printed is the path, whatever LANG and PYTHONIOENCODING are.
    """
    codecs.register_error("as_in_file_names", as_in_file_names)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's is none
            stream.reconfigure(errors="as_in_file_names")


def as_in_file_names(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handle an error of an encoder, see `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return os.fsencode(error.object[error.start : error.end]), error.end


def explain(error: Exception) -> str | None:
    """One line for an error that the user can do something about; None for a bug of ours."""
    if hasattr(error, "format_message"):  # typer's own: a wrong option, a missing argument
        message = error.format_message()
        return f"{message} (see tenku --help)" if message else ""
    elif isinstance(error, OSError) and error.strerror:
        message = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, ModuleNotFoundError):
        if error.name is None or error.name.split(".")[0] == "tenku":
            return None
        extra = EXTRAS.get(error.name.split(".")[0], "world")
        message = f"this needs the package {error.name!r}: {install_command(extra)}"
    elif isinstance(error, MemoryError) or is_out_of_memory(error):
        message = "not enough memory for this: ask for fewer seconds or a smaller size"
    elif isinstance(error, ValueError | OSError):
        message = str(error)
    else:
        return None
    return " ".join(message.split()) or type(error).__name__


def is_out_of_memory(error: Exception) -> bool:
    """Torch says so with an OutOfMemoryError on a GPU and with a plain RuntimeError on a CPU."""
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def run() -> None:
    """The console script. When it is told to end, or its terminal goes, it tidies up as after Ctrl-C."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) == signal.SIG_DFL:  # `nohup` wants to be left alone
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
