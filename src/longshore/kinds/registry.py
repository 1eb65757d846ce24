"""All kinds, in one tuple; imported by the composition roots alone."""

from longshore.kinds.jobs import kind as jobs
from longshore.kinds.kind import Kind
from longshore.kinds.simulations import kind as simulations
from longshore.kinds.tenants import kind as tenants

KINDS: tuple[Kind, ...] = (tenants.KIND, jobs.KIND, simulations.KIND)
