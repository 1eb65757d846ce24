"""What programs call instead of writing HTTP by hand."""

from longshore.sdk.answers import (
    Artifact,
    Caller,
    Job,
    Key,
    Limits,
    NewKey,
    Outputs,
    Page,
    Progress,
    Summary,
    Tenant,
    Use,
    Why,
)
from longshore.sdk.client import LongshoreClient

__all__ = [
    "Artifact",
    "Caller",
    "Job",
    "Key",
    "Limits",
    "LongshoreClient",
    "NewKey",
    "Outputs",
    "Page",
    "Progress",
    "Summary",
    "Tenant",
    "Use",
    "Why",
]
