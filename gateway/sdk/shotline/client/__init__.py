"""Shotline from Python: `from shotline.client import AssetService`.

AssetService            the asset graph, with await
BlockingAssetService    the same without await
Studio                  what an editor calls, with await: shots wherever they live, sequences, films, changes
errors                  what a failed call raises
shapes                  what calls take and give, for type checkers
"""

from shotline.client import errors, shapes
from shotline.client.asking import UNCHANGED
from shotline.client.blocking import BlockingAssetService, BlockingWatch
from shotline.client.changes import Changes
from shotline.client.errors import (
    AlreadyExists,
    Cancelled,
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    ShotlineError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from shotline.client.service import AssetService
from shotline.client.studio import Studio, StudioWatch
from shotline.client.watching import Watch

__all__ = [
    "UNCHANGED",
    "AlreadyExists",
    "AssetService",
    "BlockingAssetService",
    "BlockingWatch",
    "Cancelled",
    "Changes",
    "Conflict",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "ShotlineError",
    "Studio",
    "StudioWatch",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Watch",
    "errors",
    "shapes",
]
