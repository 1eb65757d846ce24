"""A credential plugin: a real program that notes how it was asked and answers what it was told to."""

import json
import stat
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from longshore.cluster.certs import Pair

PROGRAM = """#!{python} -I
import json, os, pathlib, sys, time
folder = pathlib.Path({folder!r})
asked = {{"args": sys.argv[1:], "env": dict(os.environ), "info": json.loads(os.environ["KUBERNETES_EXEC_INFO"])}}
with (folder / "asked").open("a") as file:
    file.write(json.dumps(asked) + "\\n")
answer = json.loads((folder / "answer").read_text())
time.sleep(answer["seconds"])
while answer["held"] and not (folder / "let-go").exists():
    time.sleep(0.01)
print(answer["text"])
sys.exit(answer["code"])
"""


class Plugin:
    """Make with the folder and the name of the program; `asked` lists every run: args, env, info."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self.path = folder / name
        self._folder = folder
        self.path.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def answers(
        self,
        status: Mapping[str, Any],
        *,
        version: str = "v1",
        lives: timedelta | None = None,
        seconds: float = 0,
        held: bool = False,
    ) -> None:
        """Where it is `held` it does so when it is let go."""
        expires = {"expirationTimestamp": f"{datetime.now(UTC) + lives:%Y-%m-%dT%H:%M:%SZ}"} if lives else {}
        api_version = f"client.authentication.k8s.io/{version}"
        credential = {"apiVersion": api_version, "kind": "ExecCredential", "status": {**status, **expires}}
        self._answer(json.dumps(credential), 0, seconds, held)

    def gives(self, pair: Pair) -> None:
        """A client certificate."""
        self.answers({"clientCertificateData": pair.cert.read_text(), "clientKeyData": pair.key.read_text()})

    def fails(self, text: str) -> None:
        """Says `text` on stdout and ends with an error."""
        self._answer(text, 1)

    def let_go(self) -> None:
        (self._folder / "let-go").touch()

    @property
    def begun(self) -> bool:
        """Whether it was ever run."""
        return (self._folder / "asked").exists()

    @property
    def asked(self) -> Sequence[Mapping[str, Any]]:
        path = self._folder / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _answer(self, text: str, code: int, seconds: float = 0, held: bool = False) -> None:
        """At once: one that runs reads the old answer or the new one."""
        new = self._folder / "answer.new"
        new.write_text(json.dumps({"text": text, "code": code, "seconds": seconds, "held": held}))
        new.replace(self._folder / "answer")
