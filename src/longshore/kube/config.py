"""How to reach and log in to one API server, read from a kubeconfig or from the pod that we run in."""

import os
import ssl as tls
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from ssl import SSLContext
from urllib.parse import urlsplit

from longshore.errors import UserMistake
from longshore.kube import kubeconfig
from longshore.kube.credentials import ExecPlugin, TokenFile, load_certificate, trusting

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Config:
    """One API server and a login to it.

    `token` may block (files, plugins): the client calls it in a thread, again and again, so that rotation works;
    `refused` tells its source that the server answered 401. What may hold a secret is kept out of the repr.
    """

    server: str
    namespace: str = "default"
    ssl: SSLContext | None = field(default=None, repr=False)
    token: Callable[[], str | None] = field(default=_nothing, repr=False)
    proxy: str | None = field(default=None, repr=False)
    server_hostname: str | None = None
    refused: Callable[[], None] = field(default=_nothing, repr=False)

    @classmethod
    def load(cls, path: str | Path | None = None, context: str | None = None) -> "Config":
        """From `path`, else the files of KUBECONFIG, else ~/.kube/config, else the pod's own account.

        Raises UserMistake when there is none, or when it cannot be used.
        """
        paths = _paths(path)
        if not paths and "KUBERNETES_SERVICE_HOST" in os.environ:
            return cls.in_cluster()
        if not paths:
            raise UserMistake("no kubeconfig was found", hint="set KUBECONFIG, or start a cluster with `longshore up`")
        return _from_choice(kubeconfig.choose(paths, context))

    @classmethod
    def in_cluster(cls) -> "Config":
        """The account of the pod that we run in. Source: "Accessing the Kubernetes API from a Pod"."""
        try:
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
            context = trusting(cafile=SERVICE_ACCOUNT / "ca.crt")
        except (KeyError, OSError):
            raise UserMistake("this process does not run in a pod with an account", hint="set KUBECONFIG") from None
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        return cls(server, namespace, context, TokenFile(SERVICE_ACCOUNT / "token"), _proxy_of_environment(server))


def _paths(path: str | Path | None) -> list[Path]:
    if path is not None:
        return [Path(path)]
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [one for one in named or [Path.home() / ".kube" / "config"] if one.exists()]


def _from_choice(choice: kubeconfig.Choice) -> Config:
    cluster, user = choice.cluster, choice.user
    parts = urlsplit(cluster.server)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise UserMistake(
            "the kubeconfig's server is not a plain http(s) address", hint="check `server` of the cluster"
        )
    if user.auth_provider is not None:
        raise UserMistake("auth-provider is gone from Kubernetes", hint="use the provider's exec credential plugin")
    context = _tls(choice) if parts.scheme == "https" else None
    token, refused = _login(choice, context)
    return Config(
        server=cluster.server.rstrip("/"),
        namespace=choice.namespace,
        ssl=context,
        token=token,
        proxy=cluster.proxy_url or _proxy_of_environment(cluster.server),
        server_hostname=cluster.tls_server_name,
        refused=refused,
    )


def _tls(choice: kubeconfig.Choice) -> SSLContext:
    cluster, user = choice.cluster, choice.user
    authority = kubeconfig.content(
        cluster.certificate_authority_data, cluster.certificate_authority, choice.cluster_folder
    )
    certificate = kubeconfig.content(user.client_certificate_data, user.client_certificate, choice.user_folder)
    key = kubeconfig.content(user.client_key_data, user.client_key, choice.user_folder)
    try:
        context = trusting(cadata=authority)
        if certificate and key:
            load_certificate(context, certificate, key)
    except (tls.SSLError, ValueError):
        raise UserMistake(
            "the kubeconfig's certificates cannot be used", hint="they must be PEM, the key unencrypted"
        ) from None
    if cluster.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = tls.CERT_NONE
    return context


def _login(
    choice: kubeconfig.Choice, context: SSLContext | None
) -> tuple[Callable[[], str | None], Callable[[], None]]:
    """Where the token comes from, in kubectl's order of precedence, and whom to tell when it is refused."""
    user = choice.user
    if user.token_file:
        return TokenFile(choice.user_folder / user.token_file), _nothing
    if user.token:
        token = user.token
        return (lambda: token), _nothing
    if user.exec:
        cluster = {
            "server": choice.cluster.server,
            "certificate-authority-data": choice.cluster.certificate_authority_data,
            "insecure-skip-tls-verify": choice.cluster.insecure_skip_tls_verify,
        }
        plugin = ExecPlugin(user.exec, choice.user_folder, cluster, context)
        return plugin, plugin.refused
    return _nothing, _nothing


def _proxy_of_environment(server: str) -> str | None:
    """HTTPS_PROXY and NO_PROXY as kubectl reads them: never for this machine itself."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    if host == "localhost" or _loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
