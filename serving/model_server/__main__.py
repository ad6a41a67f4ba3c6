"""`python -m homefeed.serving.model_server`: the same as the command `homefeed-model-server`."""

import sys

from homefeed.serving.model_server.main import main

if __name__ == "__main__":
    sys.exit(main())
