"""What is known of users where pages are made: as of the last push, and what they did since."""

from homefeed.serving.profiles.live import LiveEvent, LiveProfile
from homefeed.serving.profiles.published import FILE_NAME, ProfileStore, update_items, write_profiles
from homefeed.serving.profiles.store import LiveStore, Outcome, StoreError

__all__ = [
    "FILE_NAME",
    "LiveEvent",
    "LiveProfile",
    "LiveStore",
    "Outcome",
    "ProfileStore",
    "StoreError",
    "update_items",
    "write_profiles",
]
