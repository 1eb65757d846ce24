"""Names, templates and what a command may see: a caller chooses parameters, never what runs."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.errors import UserMistake
from longshore.kinds.tasks import model
from longshore.kinds.tasks.model import Asked, Template

RUN_IDS = st.text(min_size=1, max_size=200)
TEMPLATE = "{image: bash, command: [a], env: {N: 3, ON_TOP: true}, resources: {cpu: 100m, memory: 64Mi}, retries: 1}"


@given(RUN_IDS)
def test_every_run_id_makes_a_legal_name_that_holds_it_where_it_fits(run_id: str) -> None:
    name = model.task_name("t", Asked(run_id))
    assert len(name) <= 63
    assert re.fullmatch(r"task-runner-[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9a-f]{32}", name)
    if len(run_id) <= 18 and re.fullmatch(r"[a-z0-9]+", run_id):
        assert name.startswith(f"task-runner-{run_id}-")


@given(RUN_IDS, RUN_IDS)
def test_two_runs_stay_apart_also_where_their_names_had_to_be_cut(one: str, other: str) -> None:
    fixed = uuid.UUID(int=0)
    assert (model.named(one, fixed) == model.named(other, fixed)) == (one == other)


@given(RUN_IDS, RUN_IDS)
def test_a_donation_has_one_name_in_each_tenant_whatever_its_run(donation: str, run: str) -> None:
    first = model.task_name("a", Asked(donation, donation))
    assert first == model.task_name("a", Asked(run, donation))
    assert first != model.task_name("b", Asked(run, donation))


def test_parameters_cannot_set_what_the_command_or_its_loader_reads() -> None:
    asked = Asked("r", parameters={"PATH": "/evil", "ld_preload": "x.so"})
    env = model.environment(model.template_of(TEMPLATE), asked, "id")
    assert env == {
        "N": "3",
        "ON_TOP": "true",
        "TASK_ID": "id",
        "PIPELINE_RUN_ID": "r",
        "TASK_PARAM_PATH": "/evil",
        "TASK_PARAM_LD_PRELOAD": "x.so",
    }


def test_who_promises_heartbeats_is_tried_again_unless_the_template_says_how_often() -> None:
    def retries(template: Template, heartbeat: bool | None) -> int:
        return model.job_request(template, Asked("r", heartbeat=heartbeat), "id", heartbeat_retries=2).retries

    assert [retries(Template(image="i"), promised) for promised in (None, False, True)] == [0, 0, 2]
    assert retries(Template(image="i", heartbeat=True), None) == 2
    assert retries(Template(image="i", retries=5), True) == 5


@pytest.mark.parametrize("bad", ["{image: [1]}", "{}", "{imag: x}", "- a", "{image: x", "{image: x, retries: many}"])
def test_a_template_that_cannot_be_used_says_so(bad: str) -> None:
    with pytest.raises(UserMistake) as refused:
        model.template_of(bad)
    assert refused.value.hint
    assert refused.value.field == "TASK_TEMPLATE"


def test_a_template_is_yaml_or_a_dict() -> None:
    assert model.template_of(TEMPLATE) == model.template_of(
        {
            "image": "bash",
            "command": ["a"],
            "env": {"N": 3, "ON_TOP": True},
            "resources": {"cpu": "100m", "memory": "64Mi"},
            "retries": 1,
        }
    )
