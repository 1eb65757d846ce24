"""A job that is run again finds its inputs where the first one held them."""

from longshore.kinds.jobs.commands import inputs_of_rerun
from longshore.kinds.jobs.request import UPLOAD, Input


def test_what_was_uploaded_is_the_earlier_jobs_and_other_jobs_artifacts_stay_theirs() -> None:
    own = Input("scenario.zip", "in", unpack=True, sha256="ab")
    theirs = Input("out/a.txt", job="j2")
    uploaded = Input("big.bin", job="u1", area=UPLOAD)
    assert inputs_of_rerun((own, theirs, uploaded), "j1") == (
        Input("scenario.zip", "in", unpack=True, sha256="ab", job="j1", area="inputs", name="scenario.zip"),
        theirs,
        Input(uploaded.handle, job="j1", area="inputs", name="big.bin"),
    )


def test_running_it_again_a_third_time_changes_nothing_more() -> None:
    once = inputs_of_rerun((Input("a"),), "j1")
    assert inputs_of_rerun(once, "j2") == once
