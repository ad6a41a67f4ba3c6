"""The command line in this process."""

import pytest

from homefeed.pipeline.cli import main as cli


def homefeed(*arguments: str) -> int:
    """The exit code of `homefeed …`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["homefeed", *arguments])
        patch.setattr(cli, "_silence_frameworks", lambda: None)  # This process's warnings are the tests' own.
        patch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
        patch.delenv("GOOGLE_CLOUD_REGION", raising=False)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)
