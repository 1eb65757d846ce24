"""What a pod is called, and whom it asks for the names of others: its hostname, /etc/hosts, /etc/resolv.conf; pure.

Source: Kubernetes docs "DNS for Services and Pods"; the files are as the kubelet writes them.
"""

from __future__ import annotations

from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import Pod
from longshore.errors import UserMistake

_DOMAIN = "cluster.local"
_LONGEST = 64  # what a kernel takes
_KINDS = ("search", "nameserver", "options")
HOSTS = "/etc/hosts"
RESOLV_CONF = "/etc/resolv.conf"


def hostname(pod: Pod) -> str:
    """What the kernel is told. UserMistake: the full name is asked for, and too long."""
    full = full_name(pod)
    if not (pod.spec.set_hostname_as_fqdn and full):
        return _short(pod)
    if len(full) > _LONGEST:
        raise UserMistake(f"{full} is longer than {_LONGEST} characters", hint="leave out setHostnameAsFQDN")
    return full


def full_name(pod: Pod) -> str:
    """With the subdomain that the pod asks for, else ""."""
    subdomain, namespace = pod.spec.subdomain, pod.metadata.namespace
    return f"{_short(pod)}.{subdomain}.{namespace}.svc.{_DOMAIN}" if subdomain else ""


def hosts(pod: Pod, place: Place) -> str:
    """The pod's /etc/hosts."""
    names = "\t".join(name for name in (full_name(pod), _short(pod)) if name)
    aliases = "".join(f"{alias.ip}\t{' '.join(alias.hostnames)}\n" for alias in pod.spec.host_aliases)
    return f"127.0.0.1\tlocalhost\n::1\tlocalhost\n{place.pod_ip}\t{names}\n{aliases}"


def resolv_conf(pod: Pod, machines: str) -> str | None:
    """The pod's own /etc/resolv.conf, None where `machines` does; what it asks for comes after what that says."""
    config = pod.spec.dns_config
    if config is None:
        return None
    words = [line.split() for line in machines.splitlines()] if pod.spec.dns_policy != "None" else []
    known = {kind: [word for line in words if line[:1] == [kind] for word in line[1:]] for kind in _KINDS}
    known["search"] += config.searches
    known["nameserver"] += config.nameservers
    known["options"] += [f"{option.name}:{option.value}" if option.value else option.name for option in config.options]
    servers = [f"nameserver {server}" for server in known["nameserver"]]
    search, options = (f"{kind} {' '.join(known[kind])}" if known[kind] else "" for kind in ("search", "options"))
    return "".join(f"{line}\n" for line in (search, *servers, options) if line)


def _short(pod: Pod) -> str:
    """At most 63 characters."""
    return (pod.spec.hostname_override or pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")
