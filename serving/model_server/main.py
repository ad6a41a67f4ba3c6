"""The command `homefeed-model-server`."""

import os


def main() -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status."""
    # Read by TensorFlow's library when it is loaded: failures reach the user as statuses, not as its log lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from homefeed.serving.model_server import server

    return server.main()
