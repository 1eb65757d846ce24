from __future__ import annotations

import stat
from pathlib import Path

from longshore.cli.local import LocalApi, local_api, token_file, write_local_api
from longshore.cli.up import longshore_parts
from longshore.cluster.cluster import LocalCluster

API = LocalApi("http://127.0.0.1:23456", "lsa_secret")


def test_each_role_logs_in_as_its_own_account_and_holds_no_secret_in_sight(tmp_path: Path) -> None:
    cluster = LocalCluster("one", state_root=tmp_path)
    serve, control = longshore_parts(cluster, API)
    logins = {Path(part.env["LONGSHORE_KUBECONFIG"]) for part in (serve, control)}
    assert {login.name for login in logins} == {
        "longshore-system.longshore-serve.kubeconfig",
        "longshore-system.longshore-control.kubeconfig",
    }
    for part in (serve, control):
        assert part.argv[-3:] == ("-m", "longshore", part.name)
        assert "lsa_secret" not in f"{part.argv} {part.env}"
        assert part.env["LONGSHORE_ARCHIVE"] == (cluster.folder.root / "archive").as_uri()
    assert serve.ready is not None
    assert serve.ready.url == "http://127.0.0.1:23456/readyz"
    assert serve.env["LONGSHORE_PORT"] == "23456"


def test_what_up_wrote_is_read_back_and_nobody_elses_to_read(tmp_path: Path) -> None:
    folder = LocalCluster("one", state_root=tmp_path).folder
    assert local_api(folder) is None
    write_local_api(folder, API)
    assert local_api(folder) == API
    assert stat.S_IMODE(token_file(folder).stat().st_mode) == 0o600
    assert "lsa_secret" not in repr(API)
