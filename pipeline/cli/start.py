"""The console script: imports take seconds, in which Ctrl-C is heard as well."""

from __future__ import annotations

import signal

from homefeed.pipeline.cli.interrupts import leave


def start() -> None:
    """Runs the command line."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, leave)
    from homefeed.pipeline.cli.main import main

    main()
