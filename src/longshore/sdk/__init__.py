"""What programs call instead of writing HTTP by hand."""

from longshore.sdk.answers import (
    ArchiveAway,
    ArchiveDamaged,
    Artifact,
    Caller,
    Event,
    IndexCounts,
    Indexes,
    IndexFailure,
    Job,
    Key,
    Limits,
    NewKey,
    Outputs,
    Page,
    Plan,
    Progress,
    Summary,
    Tenant,
    Use,
    Why,
)
from longshore.sdk.client import LongshoreClient
from longshore.sdk.fields import JobFields, Mount, SecretKey
from longshore.sdk.filters import JobFilters
from longshore.sdk.stream import Change
from longshore.sdk.sync import SyncClient

__all__ = [
    "ArchiveAway",
    "ArchiveDamaged",
    "Artifact",
    "Caller",
    "Change",
    "Event",
    "IndexCounts",
    "IndexFailure",
    "Indexes",
    "Job",
    "JobFields",
    "JobFilters",
    "Key",
    "Limits",
    "LongshoreClient",
    "Mount",
    "NewKey",
    "Outputs",
    "Page",
    "Plan",
    "Progress",
    "SecretKey",
    "Summary",
    "SyncClient",
    "Tenant",
    "Use",
    "Why",
]
