"""Why a job does not run yet, and what would become of one that is not submitted yet."""
