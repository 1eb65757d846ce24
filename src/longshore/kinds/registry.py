"""All kinds, in one tuple; imported by the composition roots alone."""

from longshore.kinds import crd
from longshore.kinds.jobs import control as jobs
from longshore.kinds.jobs import openapi as job_openapi
from longshore.kinds.jobs import routes as job_routes
from longshore.kinds.jobs.files import exchange, transfers, uploads
from longshore.kinds.jobs.files import openapi as file_openapi
from longshore.kinds.jobs.stream import openapi as stream_openapi
from longshore.kinds.jobs.stream import routes as live
from longshore.kinds.kind import Kind
from longshore.kinds.simulations import compat as simulation_compat
from longshore.kinds.simulations import openapi as simulation_openapi
from longshore.kinds.simulations import routes as simulation_routes
from longshore.kinds.simulations import view as simulation_view
from longshore.kinds.tasks import compat as task_compat
from longshore.kinds.tasks import control as task_control
from longshore.kinds.tasks import openapi as task_openapi
from longshore.kinds.tasks import sockets as task_sockets
from longshore.kinds.tenants import control as tenants
from longshore.kinds.tenants import openapi as tenant_openapi
from longshore.kinds.tenants import routes as tenant_routes
from longshore.kinds.tenants.model import TENANTS, TenantSpec, TenantStatus

_TENANT_COLUMNS = (
    {"name": "Namespace", "type": "string", "jsonPath": ".status.namespace"},
    {"name": "Jobs", "type": "integer", "jsonPath": ".spec.limits.concurrentJobs"},
    {"name": "CPU", "type": "number", "jsonPath": ".spec.limits.cpu"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
)

KINDS: tuple[Kind, ...] = (
    Kind(
        name="tenant",
        routers=(tenant_routes.router,),
        definitions=(crd.definition(TENANTS, TenantSpec, TenantStatus, columns=_TENANT_COLUMNS, short="tn"),),
        resources=(TENANTS,),
        controllers=tenants.controllers,
        operations=tenant_openapi.OPERATIONS,
        words=tenant_openapi.WORDS,
    ),
    # the runner's routes come first: they are below /v1/jobs/{id}
    Kind(
        name="job",
        routers=(exchange.router, transfers.router, uploads.router, live.router, job_routes.router),
        controllers=jobs.controllers,
        everywhere=jobs.everywhere,
        operations={**file_openapi.OPERATIONS, **stream_openapi.OPERATIONS, **job_openapi.OPERATIONS},
        words={**job_openapi.WORDS, **stream_openapi.WORDS},
    ),
    Kind(
        name="simulation",
        routers=(simulation_routes.router, simulation_compat.router),
        explain=simulation_view.explain,
        operations=simulation_openapi.OPERATIONS,
        words=simulation_openapi.WORDS,
    ),
    Kind(
        name="task",
        routers=(task_compat.router, task_sockets.router),
        controllers=task_control.controllers,
        operations=task_openapi.OPERATIONS,
        words=task_openapi.WORDS,
    ),
)
