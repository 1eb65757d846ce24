"""The async client of the API: one object with a face for each kind of thing; the CLI and users' programs open it."""

from typing import Final, Self

from longshore.sdk.answers import Caller
from longshore.sdk.artifacts import Artifacts
from longshore.sdk.jobs import Jobs
from longshore.sdk.simulations import Simulations
from longshore.sdk.target import Target
from longshore.sdk.tasks import Tasks
from longshore.sdk.tenants import Keys, Tenants
from longshore.sdk.transport import Transport
from longshore.sdk.uploads import Uploads

PATIENCE: Final = 15.0


class LongshoreClient:
    """An async context manager: `async with LongshoreClient() as longshore: await longshore.jobs.list()`.

    `url` and `key`: else LONGSHORE_URL and LONGSHORE_API_KEY, else the local cluster's, as its administrator.
    `tenant`: for whom an administrator acts. `patience`: seconds for which what is safe to repeat is tried again.
    Every method raises the errors of `longshore.errors`, each with a message and mostly a hint.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, tenant: str | None = None, patience: float = PATIENCE
    ) -> None:
        target = Target.choose(url, key)
        self._transport = Transport(target.url, target.key, tenant=tenant, patience=patience)
        self.tenants = Tenants(self._transport)
        self.keys = Keys(self._transport)
        self.jobs = Jobs(self._transport)
        self.simulations = Simulations(self._transport)
        self.artifacts = Artifacts(self._transport)
        self.uploads = Uploads(self._transport)
        self.tasks = Tasks(self._transport)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._transport.__aexit__(*exc)

    async def me(self) -> Caller:
        """Who the server takes the key for; Unauthenticated when it is wrong."""
        return await self._transport.call("GET", "/v1/me", Caller)
