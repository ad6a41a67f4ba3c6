"""How a failure is told: in one line and with an exit code, if a user can mend it."""

from __future__ import annotations

from typing import NamedTuple

from homefeed.schemas.errors import HomefeedError

INTERRUPTED = "what had finished is kept, and the same command goes on from there"
# Libraries whose errors are about networks, databases and files.
OF_MACHINES = ("aiohttp", "azure", "botocore", "gcsfs", "google", "grpc", "urllib3")
OF_DATABASES = ("ml_metadata", "sqlalchemy", "sqlite3")
OF_TENSORFLOW = "tensorflow.python.framework.errors_impl"


class Interrupted(HomefeedError):  # noqa: N818  A wish, not a fault.
    """Somebody pressed Ctrl-C."""

    exit_code = 130  # As shells say of SIGINT.


class Told(NamedTuple):
    """What the user gets."""

    title: str
    message: str
    exit_code: int  # 1: the work failed or a gate said no. 2: it was asked for wrongly.


def tell(error: BaseException) -> Told | None:
    """The line about an error; None: it is a fault of ours."""
    if isinstance(error, KeyboardInterrupt):
        return tell(Interrupted(INTERRUPTED))
    title = type(error).__name__
    if isinstance(error, HomefeedError):
        return Told(title, str(error), error.exit_code)
    if hasattr(error, "format_message"):  # Typer's: what was typed is wrong.
        context = getattr(error, "ctx", None)
        more = f"; see `{context.command_path} --help`" if context else ""
        return Told("UsageError", _line(error.format_message()).rstrip(".") + more, 2)
    module = type(error).__module__
    # The client is a distribution of its own and knows nothing of ours: this is where its errors become some.
    if module.partition(".")[0] in ("homefeed_client", *OF_MACHINES, *OF_DATABASES) or module == OF_TENSORFLOW:
        return Told(title, _line(str(error)) or title, 1)
    if isinstance(error, UnicodeDecodeError):
        found = error.object[error.start : error.start + 1].hex()
        return Told(title, f"a file is not UTF-8 text: byte 0x{found} at {error.start}; save it as UTF-8", 1)
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # Of pathlib.
        return Told(title, str(error), 1)
    if isinstance(error, MemoryError):
        return Told(title, "not enough memory; give the process more of it, or smaller data", 1)
    if isinstance(error, OSError):  # The machine's, whatever its number.
        return Told(title, f"{error.filename}: {error.strerror}" if error.filename else _line(str(error)), 1)
    return None


def _line(text: str) -> str:
    return " ".join(text.split())
