from __future__ import annotations

import stat
from pathlib import Path

import pytest

from longshore.cli.local import LocalApi, choose_archive, local_api, token_file, write_local_api
from longshore.cli.up import longshore_parts
from longshore.cluster.cluster import LocalCluster
from longshore.errors import Conflict

API = LocalApi("http://127.0.0.1:23456", "lsa_secret")


def test_each_role_logs_in_as_its_own_account_and_holds_no_secret_in_sight(tmp_path: Path) -> None:
    cluster = LocalCluster("one", state_root=tmp_path)
    serve, control = longshore_parts(cluster, API, choose_archive(cluster.folder, None))
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


def test_the_archive_is_chosen_once(tmp_path: Path) -> None:
    folder = LocalCluster("one", state_root=tmp_path).folder
    own = (folder.root / "archive").as_uri()
    assert choose_archive(folder, None) == own
    assert choose_archive(folder, "s3") == choose_archive(folder, None) == choose_archive(folder, "s3") == "s3"
    with pytest.raises(Conflict):
        choose_archive(folder, own)
    older = LocalCluster("older", state_root=tmp_path).folder
    write_local_api(older, API)
    assert choose_archive(older, None) == (older.root / "archive").as_uri()
    with pytest.raises(Conflict):
        choose_archive(older, "s3://bucket")


def test_the_credentials_of_an_archive_are_in_no_argument_and_no_environment(tmp_path: Path) -> None:
    cluster = LocalCluster("one", state_root=tmp_path)
    for part in longshore_parts(cluster, API, "s3"):
        assert part.env["LONGSHORE_ARCHIVE"] == "s3://longshore"
        assert "s3" in part.after
        assert "AWS" not in f"{part.argv} {part.env}"
        assert part.argv[-2:] == ("longshore", part.name)
