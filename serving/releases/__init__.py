"""What is pushed: versions of models, which labels they have, and what model servers read beside them."""

from homefeed.serving.releases.releases import WARMUP_FILE, ReleaseError, Releases

__all__ = ["WARMUP_FILE", "ReleaseError", "Releases"]
