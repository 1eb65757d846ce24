from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer

from longshore.cli.tenants import lifetime

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api

TENANT = {"id": "demo", "ready": True, "limits": {"cpu": 10, "concurrent_jobs": 2}, "use": {"cpu": 2, "running": 1}}


def test_create_sends_the_limits_that_were_named(cli: Cli, api: Api) -> None:
    api.on("POST /v1/tenants", TENANT, status=202)
    ran = cli("tenants", "create", "demo", "--cpu", "10", "--overflow", "reject")
    assert ran.code == 0
    assert api.asked[0].json == {"id": "demo", "limits": {"cpu": 10.0}, "overflow": "reject"}
    assert "longshore tenants keys create demo" in ran.err


def test_set_changes_what_is_named_and_nothing_else(cli: Cli, api: Api) -> None:
    api.on("PATCH /v1/tenants/demo", TENANT | {"retention_days": 0, "overflow": "queue"}, status=202)
    ran = cli("tenants", "set", "demo", "--cpu", "10", "--concurrent-jobs", "2", "--retention-days", "0")
    assert ran.code == 0
    assert api.asked[0].json == {"limits": {"cpu": 10.0, "concurrent_jobs": 2}, "retention_days": 0}
    assert "for ever" in ran.out
    assert "2 of 10" in ran.out


def test_set_without_anything_to_change_asks_what(cli: Cli, api: Api) -> None:
    ran = cli("tenants", "set", "demo")
    assert (ran.code, api.asked) == (2, [])
    assert "say what to change" in ran.err


def test_a_tenant_that_exists_is_refused(cli: Cli, api: Api) -> None:
    api.problem("POST /v1/tenants", 409, "tenant 'demo' exists", hint="choose another id")
    assert cli("tenants", "create", "demo").code == 2


def test_list_and_get_show_use_of_limits(cli: Cli, api: Api) -> None:
    api.on("GET /v1/tenants", {"items": [TENANT]})
    api.on("GET /v1/tenants/demo", TENANT)
    assert "2 of 10" in cli("tenants", "list").out
    assert "1 of 2" in cli("tenants", "get", "demo").out
    assert cli("tenants", "list", "--json").json["items"][0]["id"] == "demo"


def test_a_new_key_is_alone_on_stdout(cli: Cli, api: Api) -> None:
    api.on("POST /v1/tenants/demo/keys", {"id": "k1", "key": "ls_new"}, status=201)
    ran = cli("tenants", "keys", "create", "demo", "--expires-in", "90d")
    assert ran.out == "ls_new\n"
    assert "ls_new" not in ran.err
    assert api.asked[0].json == {"expires_in": 90 * 86400}


def test_keys_are_listed_and_revoked(cli: Cli, api: Api) -> None:
    api.on("GET /v1/tenants/demo/keys", {"items": [{"id": "k1", "name": "ci"}]})
    api.on("DELETE /v1/tenants/demo/keys/k1", body=b"", status=204)
    assert "k1" in cli("tenants", "keys", "list", "demo").out
    assert cli("tenants", "keys", "revoke", "demo", "k1").code == 0


def test_a_tenant_with_work_is_deleted_by_force(cli: Cli, api: Api) -> None:
    api.on("DELETE /v1/tenants/demo", status=202)
    assert cli("tenants", "delete", "demo", "--force").code == 0
    assert api.asked[0].query == {"force": "true"}


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43200), ("2d", 172800)])
def test_a_lifetime_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert lifetime(text) == seconds


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("set", "demo", "--concurrent-jobs", "-1"), "'--concurrent-jobs': -1 is not in the range x>=1"),
        (("keys", "create", "demo", "--expires-in", "0d"), "'--expires-in': '0d' is not between 1m and 3660d"),
    ],
)
def test_what_is_out_of_range_is_refused_by_the_options_name(
    cli: Cli, api: Api, argv: tuple[str, ...], says: str
) -> None:
    ran = cli("tenants", *argv)
    assert (ran.code, api.asked) == (2, [])
    assert says in ran.err


@pytest.mark.parametrize("text", ["", "d", "1w", "-1d", "1.5h", "0d", "59s", "3661d"])
def test_another_lifetime_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        lifetime(text)
