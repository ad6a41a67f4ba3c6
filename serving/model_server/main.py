"""The command `homefeed-model-server`."""

import os
import signal


def main() -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status."""
    # Read by TensorFlow's library when it is loaded: failures reach the user as statuses, not as its log lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    signal.signal(signal.SIGINT, _end)  # Until the server hears it; imports take seconds.
    from homefeed.serving.model_server import server

    return server.main()


def _end(*_: object) -> None:
    os.write(2, b"Interrupted before any model was loaded.\n")
    os._exit(130)
