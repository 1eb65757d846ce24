"""Which proxy leads to the API server: the kubeconfig's, else the environment's, as Go reads it. For `kube.config`."""

import os
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from longshore.errors import UserMistake


def choose(server: str, given: str | None) -> str | None:
    """The URL of the proxy, or None. Raises UserMistake for one that we cannot speak with; never tells the URL."""
    proxy = given or _of_environment(server)
    if proxy is None:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme not in ("http", "https") or not _has_host(proxy):
        where = "the kubeconfig's proxy-url" if given else "the environment's proxy"
        what = f"is a {scheme} proxy" if _has_host(proxy) else "is not the address of a proxy"
        raise UserMistake(
            f"{where} {what}",
            hint="use an HTTP proxy, http://HOST:PORT; let SSH forward the API server's port (-L), not SOCKS (-D)",
        )
    return proxy


def _of_environment(server: str) -> str | None:
    """HTTPS_PROXY, or HTTP_PROXY for an http server, unless NO_PROXY names the server; never for this machine itself.

    Source: golang.org/x/net/http/httpproxy, which kubectl uses.
    """
    parts = urlsplit(server)
    proxy = _variable(f"{parts.scheme}_proxy")
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not proxy or _on_this_machine(host) or any(_names(entry, host, port) for entry in _exempt()):
        return None
    return proxy


def _on_this_machine(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _exempt() -> list[str]:
    return [entry.strip().lower() for entry in _variable("no_proxy").split(",") if entry.strip()]


def _variable(name: str) -> str:
    return os.environ.get(name.upper()) or os.environ.get(name) or ""


def _names(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY (`*`, a name, .domain, an address or a network, perhaps with a port) is the host."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and _within(address, entry)
    name, only = _split(entry)
    if only and only != str(port):
        return False
    if address is not None:
        return _address(name) == address
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _split(entry: str) -> tuple[str, str]:
    """Name and port of an entry; addresses of IPv6 have a port only when they are in brackets."""
    if _address(entry):
        return entry, ""
    name, _, port = entry.rpartition(":")
    return (name.strip("[]"), port) if port.isdigit() and name else (entry.strip("[]"), "")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _within(address: IPv4Address | IPv6Address, network: str) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        return False


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        return False
