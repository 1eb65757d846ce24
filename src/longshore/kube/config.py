"""How to reach and log in to one API server, read from a kubeconfig or from the pod that we run in."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any
from urllib.parse import quote, urlsplit

from longshore.errors import Unauthenticated, UserMistake
from longshore.kube import kubeconfig, proxies
from longshore.kube.credentials import ExecPlugin, TokenFile, clean
from longshore.kube.kubeconfig import Cluster, User
from longshore.kube.tls import Pair, Tls

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_EXTENSION = "client.authentication.k8s.io/exec"  # of a cluster: what its credential plugin shall know


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Config:
    """One API server and a login to it.

    `token` and `renewed_ssl` may block (files, plugins): the client calls them in a thread, again and again, so that
    rotation works; `renewed_ssl` gives the context for new connections, `ssl` is the first. `refused` tells the source
    of both that the server answered 401. `headers` go with every request. What may hold a secret is kept out of the
    repr.
    """

    server: str
    namespace: str = "default"
    ssl: SSLContext | None = field(default=None, repr=False)
    token: Callable[[], str | None] = field(default=_nothing, repr=False)
    proxy: str | None = field(default=None, repr=False)
    server_hostname: str | None = None
    refused: Callable[[], None] = field(default=_nothing, repr=False)
    renewed_ssl: Callable[[], SSLContext | None] = field(default=_nothing, repr=False)
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def load(cls, path: str | Path | None = None, context: str | None = None) -> "Config":
        """From `path`, else the files of KUBECONFIG, else ~/.kube/config, else the pod's own account.

        Raises UserMistake when there is none, or when it cannot be used.
        """
        paths = _paths(path)
        if not paths and "KUBERNETES_SERVICE_HOST" in os.environ:
            return cls.in_cluster()
        if not paths:
            raise _none_found()
        return _from_choice(kubeconfig.choose(paths, context))

    @classmethod
    def in_cluster(cls) -> "Config":
        """The account of the pod that we run in. Source: "Accessing the Kubernetes API from a Pod"."""
        try:
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
            tls = Tls(lambda: (SERVICE_ACCOUNT / "ca.crt").read_bytes())
            first = tls()
        except (KeyError, OSError):
            raise UserMistake("this process does not run in a pod with an account", hint="set KUBECONFIG") from None
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        token = TokenFile(SERVICE_ACCOUNT / "token")
        return cls(server, namespace, first, token, proxies.choose(server, None), renewed_ssl=tls)


def _paths(path: str | Path | None) -> list[Path]:
    if path is not None:
        return [Path(path).expanduser()]
    return [one for one in _named() or [Path.home() / ".kube" / "config"] if one.exists()]


def _named() -> list[Path]:
    return [Path(part).expanduser() for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]


def _none_found() -> UserMistake:
    if named := _named():
        missing = ", ".join(str(path) for path in named)
        return UserMistake(f"there is no kubeconfig at {missing}", hint="correct KUBECONFIG, or unset it")
    return UserMistake("no kubeconfig was found", hint=_NO_KUBECONFIG)


_NO_KUBECONFIG = "set KUBECONFIG; of a local cluster: export KUBECONFIG=$(longshore cluster kubeconfig)"


def _from_choice(choice: kubeconfig.Choice) -> Config:
    cluster, user = choice.cluster, choice.user
    parts = urlsplit(cluster.server)
    if not cluster.server:
        raise UserMistake("the kubeconfig's cluster has no server", hint="set `server` of the cluster; is it misspelt?")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise UserMistake(
            "the kubeconfig's server is not a plain http(s) address", hint="check `server` of the cluster"
        )
    _check(user)
    plugin = _plugin(choice)
    first, renewed = _tls(choice, plugin) if parts.scheme == "https" else (None, _nothing)
    return Config(
        server=cluster.server.rstrip("/"),
        namespace=choice.namespace,
        ssl=first,
        token=_token(choice, plugin),
        proxy=proxies.choose(cluster.server, cluster.proxy_url),
        server_hostname=cluster.tls_server_name,
        refused=plugin.refused if plugin else _nothing,
        renewed_ssl=renewed,
        headers=tuple(_impersonating(user)),
    )


def _check(user: User) -> None:
    """What we cannot do must not be left out silently: the caller would be someone else."""
    if user.auth_provider is not None:
        raise UserMistake("auth-provider is gone from Kubernetes", hint="use the provider's exec credential plugin")
    if user.username is not None:
        raise UserMistake("Kubernetes has no passwords since 1.19", hint="use a token, a certificate or a plugin")
    if not user.impersonate and (user.impersonate_uid or user.impersonate_groups or user.impersonate_extra):
        raise UserMistake("the kubeconfig impersonates nobody in particular", hint="say who with `as`")


def _plugin(choice: kubeconfig.Choice) -> ExecPlugin | None:
    """As in kubectl, a plugin is not asked where there is a token or a certificate already."""
    user, cluster = choice.user, choice.cluster
    if user.exec is None or user.token or user.token_file or _has_certificate(user):
        return None
    authority = _authority(choice)()
    told = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": authority,  # which JSON has in base64
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": _for_plugins(cluster),
    }
    return ExecPlugin(user.exec, choice.user_folder, {name: value for name, value in told.items() if value})


def _for_plugins(cluster: Cluster) -> Any:
    extensions = cluster.extensions or ()
    return next((one.extension for one in extensions if one.name == EXEC_EXTENSION), None)


def _token(choice: kubeconfig.Choice, plugin: ExecPlugin | None) -> Callable[[], str | None]:
    """Where the token comes from, in kubectl's order of precedence."""
    user = choice.user
    try:
        token = clean(user.token or "") or None
    except Unauthenticated as error:
        raise UserMistake(f"the kubeconfig cannot be used: {error.message}", hint=error.hint) from None
    if user.token_file:
        return TokenFile(choice.user_folder / user.token_file, otherwise=token)
    return plugin.token if plugin else lambda: token


def _tls(choice: kubeconfig.Choice, plugin: ExecPlugin | None) -> tuple[SSLContext, Tls]:
    """The first context, and where the next ones come from. The plugin is not asked for the first: it may block."""
    verify = not choice.cluster.insecure_skip_tls_verify
    authority = _authority(choice)
    if plugin is not None:
        return Tls(authority, verify=verify)(), Tls(authority, plugin.pair, verify=verify)
    tls = Tls(authority, lambda: _pair(choice), verify=verify)
    return tls(), tls


def _authority(choice: kubeconfig.Choice) -> Callable[[], bytes | None]:
    cluster = choice.cluster
    data, path = cluster.certificate_authority_data, cluster.certificate_authority
    return lambda: kubeconfig.content(data, path, choice.cluster_folder)


def _pair(choice: kubeconfig.Choice) -> Pair | None:
    user, folder = choice.user, choice.user_folder
    if not _has_certificate(user):
        return None
    certificate = kubeconfig.content(user.client_certificate_data, user.client_certificate, folder)
    key = kubeconfig.content(user.client_key_data, user.client_key, folder)
    if not certificate or not key:
        raise UserMistake("the kubeconfig has a client certificate without its key", hint="add `client-key`")
    return Pair(certificate, key)


def _has_certificate(user: User) -> bool:
    return bool(user.client_certificate or user.client_certificate_data)


def _impersonating(user: User) -> Iterator[tuple[str, str]]:
    """Source: Kubernetes docs, "User impersonation"."""
    if not user.impersonate:
        return
    yield "Impersonate-User", user.impersonate
    if user.impersonate_uid:
        yield "Impersonate-Uid", user.impersonate_uid
    for group in user.impersonate_groups or ():
        yield "Impersonate-Group", group
    for name, values in (user.impersonate_extra or {}).items():
        for value in values:
            yield f"Impersonate-Extra-{quote(name, safe='')}", value
