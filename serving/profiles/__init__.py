"""What is known of users where pages are made: as of the last push, and what they did since."""

from homefeed.serving.profiles.exposure import Exposure
from homefeed.serving.profiles.live import LiveEvent, LiveProfile
from homefeed.serving.profiles.published import FILE_NAME, ProfileStore, update_items, write_profiles
from homefeed.serving.profiles.store import LiveStore, StoreBusy, StoreError
from homefeed.serving.profiles.stores import Store, open_store
from homefeed.serving.profiles.transaction import Outcome, Stop

__all__ = [
    "FILE_NAME",
    "Exposure",
    "LiveEvent",
    "LiveProfile",
    "LiveStore",
    "Outcome",
    "ProfileStore",
    "Stop",
    "Store",
    "StoreBusy",
    "StoreError",
    "open_store",
    "update_items",
    "write_profiles",
]
