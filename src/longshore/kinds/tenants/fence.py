"""The admission policies that keep everyone, administrators too, from passing by a tenant's limits; pure.

In tenants' namespaces only `control` creates or unsuspends Jobs that run (a CronJob's are suspended too), only the Job
controller makes pods, and nobody else changes what longshore relies on. In longshore's own namespaces `serve`, which
strangers talk to, writes API keys and its own Leases, and nothing by which it could become more.
Applied by `longshore.install`.
Source: Kubernetes docs, "Validating Admission Policy" (admissionregistration.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longshore.kinds.jobs.model import ANNOTATION_HIDDEN, KEPT_LABELS, KEPT_TAINTS
from longshore.kinds.tenants.model import KEY_TYPE, LABEL_KEY, LABEL_TENANT
from longshore.kube.objects import (
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    AnyObject,
    Resource,
)
from longshore.settings import keys_namespace

HINT = "submit with 'longshore jobs submit', or create the Job in a namespace that belongs to no tenant"

LABEL_REPLICA = "longshore.dev/replica"  # `runtime.replicas.LABEL`; what is pure imports nothing that acts
_TENANTS = {"matchExpressions": [{"key": LABEL_TENANT, "operator": "Exists"}]}
_WRITTEN = "(request.operation == 'DELETE' ? oldObject : object)"
_DRY = "(has(request.dryRun) && request.dryRun)"
_KUBE_SYSTEM = "system:serviceaccount:kube-system:"
# an empty key tolerates every taint; a node's name passes by the scheduler, taints and all
_TEMPLATE = "object.spec.template.spec"
_KEPT = " || ".join(f"t.key.startsWith('{each}')" for each in KEPT_TAINTS)
_KEPT_NODES = " || ".join(f"k.startsWith('{each}')" for each in KEPT_LABELS)
# affinity says in another way what a selector says; a wish only (preferred) chooses among nodes that are for work
_REQUIRED = f"{_TEMPLATE}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
_KEPT_TERMS = " || ".join(f"e.key.startsWith('{each}')" for each in KEPT_LABELS)
_PLACED_FAIRLY = (
    f"(!has({_TEMPLATE}.nodeName)"
    f" && (!has({_TEMPLATE}.tolerations) || {_TEMPLATE}.tolerations.all(t, has(t.key) && t.key != '' && !({_KEPT})))"
    f" && (!has({_TEMPLATE}.nodeSelector) || {_TEMPLATE}.nodeSelector.all(k, !({_KEPT_NODES})))"
    f" && (!has({_TEMPLATE}.affinity) || !has({_TEMPLATE}.affinity.nodeAffinity) || !has({_REQUIRED})"
    f" || {_REQUIRED}.nodeSelectorTerms.all(each, !has(each.matchExpressions)"
    f" || each.matchExpressions.all(e, e.operator in ['NotIn', 'DoesNotExist'] || !({_KEPT_TERMS})))))"
)
# each controller of the controller manager is its own account by --use-service-account-credentials
_JOB_WRITERS = tuple(
    f"{_KUBE_SYSTEM}{name}"
    for name in (
        "job-controller",
        "cronjob-controller",
        "generic-garbage-collector",
        "ttl-after-finished-controller",
        "namespace-controller",
    )
)


def manifests(
    namespace: str, tolerated: Sequence[str] | None = None
) -> list[tuple[Resource[AnyObject], dict[str, Any]]]:
    """Policies and bindings for a longshore that lives in `namespace`; `tolerated` as LONGSHORE_TOLERATED_TAINTS."""
    control = f"system:serviceaccount:{namespace}:longshore-control"
    serve = f"system:serviceaccount:{namespace}:longshore-serve"
    pods = _pods_rule([f"{_KUBE_SYSTEM}job-controller"], serve)
    jobs, status = [*_job_rules(control, serve), *_taint_rules(tolerated)], _status_rules(control, serve)
    intake, ends = (_intake_rule(serve, what) for what in ("takes work in for", "ends work of"))
    written = ("CREATE", "UPDATE", "DELETE")
    own = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    names = [namespace, keys_namespace(namespace)]
    both = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]}
    return [
        *_policy("longshore-pods", "pods", ("CREATE",), "", [pods], where=_TENANTS),
        *_policy("longshore-jobs", "jobs", ("CREATE", "UPDATE"), "batch", jobs, where=_TENANTS),
        *_policy("longshore-job-status", "jobs/status", ("UPDATE",), "batch", status, where=_TENANTS),
        *_policy("longshore-intake", "jobs", ("CREATE",), "batch", [intake]),
        *_policy("longshore-ends", "jobs/status", ("UPDATE",), "batch", [ends]),
        *_policy("longshore-plans", "pods", ("CREATE",), "", [_plans_rule(serve)]),
        *_policy("longshore-namespaces", "namespaces", ("UPDATE",), "", [_namespace_rule(control)]),
        *_policy("longshore-leases", "leases", written, "coordination.k8s.io", [_lease_rule(serve)], where=own),
        *_policy("longshore-keys", "secrets", written, "", [_key_rule(serve), _moves_rule(control)], where=both),
    ]


def _intake_rule(serve: str, what: str) -> dict[str, str]:
    """`serve` may write Jobs anywhere by its role, because tenants come and go; it needs to in theirs only."""
    tenant = f"(has(namespaceObject.metadata.labels) && '{LABEL_TENANT}' in namespaceObject.metadata.labels)"
    return _rule(f"request.userInfo.username != '{serve}' || {tenant}", f"longshore {what} tenants only")


def _lease_rule(serve: str) -> dict[str, str]:
    """A Lease of `serve` says where a `serve` is, and never who leads, or where a `control` listens."""
    named, labels = f"{_WRITTEN}.metadata.name.startsWith('longshore-serve-')", f"{_WRITTEN}.metadata.labels"
    labelled = f"has({labels}) && '{LABEL_REPLICA}' in {labels} && {labels}['{LABEL_REPLICA}'] == 'serve'"
    of_serve = f"({named} && {labelled})"
    return _rule(f"request.userInfo.username != '{serve}' || {of_serve}", "serve writes the Leases of serve only")


def _key_rule(serve: str) -> dict[str, str]:
    """A Secret of another type could be a token of any account there, which `serve` could then read. The type of a
    Secret never changes."""
    a_key = f"(has({_WRITTEN}.type) && {_WRITTEN}.type == '{KEY_TYPE}')"
    return _rule(f"request.userInfo.username != '{serve}' || {a_key}", "serve writes the Secrets of API keys only")


def _moves_rule(control: str) -> dict[str, str]:
    """`control` moves the keys of a former version, and has a right for that which names no Secrets."""
    labels = f"{_WRITTEN}.metadata.labels"
    a_key = f"(has({labels}) && '{LABEL_KEY}' in {labels})"
    return _rule(f"request.userInfo.username != '{control}' || {a_key}", "control moves the Secrets of API keys only")


def _namespace_rule(control: str) -> dict[str, str]:
    """Without its label a namespace would be outside of the fence."""
    tenant = f"(has(oldObject.metadata.labels) && '{LABEL_TENANT}' in oldObject.metadata.labels)"
    keepers = [control, f"{_KUBE_SYSTEM}namespace-controller"]
    kept = f"request.userInfo.username in {_cel(keepers)} || {_unchanged('labels')}"
    return _rule(f"!{tenant} || {kept}", "the labels that make a namespace a tenant's are changed by longshore only")


def _plans_rule(serve: str) -> dict[str, str]:
    """`serve` has the right to create pods for dry runs, which make none; nowhere may it use that for more."""
    return _rule(f"request.userInfo.username != '{serve}' || {_DRY}", "longshore creates pods in dry runs only")


def _pods_rule(allowed: list[str], serve: str) -> dict[str, str]:
    return _rule(
        f"request.userInfo.username in {_cel(allowed)} || (request.userInfo.username == '{serve}' && {_DRY})",
        "pods of a tenant are made only for work that its limits admitted",
    )


def _job_rules(control: str, serve: str) -> list[dict[str, str]]:
    starter = f"request.userInfo.username == '{control}'"
    writers = f"request.userInfo.username in {_cel([control, *_JOB_WRITERS])}"
    makers = f"request.userInfo.username in {_cel([control, serve])}"
    create = "request.operation == 'CREATE'"
    update = f"{create} || {writers}"
    return [
        _rule(
            f"!({create}) || {_PLACED_FAIRLY}",
            "a Job of a tenant goes where the scheduler puts it, and not to nodes that are broken or the cluster's own",
        ),
        _rule(
            f"!({create}) || {_suspend('object')} || {starter}",
            "a Job of a tenant is created suspended and starts when its limits admit it",
        ),
        _rule(
            f"!({create}) || {makers}"
            f" || ({_ours('object', 'labels')}.size() == 0 && {_ours('object', 'annotations')}.size() == 0)",
            "labels and annotations of longshore.dev are set by longshore only",
        ),
        _rule(
            f"{update} || {_suspend('object')} == {_suspend('oldObject')}",
            "suspend of a tenant's Job is changed by longshore only, or its limits would not hold",
        ),
        _rule(
            f"{update} || object.spec == oldObject.spec",
            "what a tenant's Job asks for is not changed after it was counted against the limits",
        ),
        _rule(
            f"{update} || {_finalizers('object')} == {_finalizers('oldObject')}",
            "finalizers of a tenant's Job are changed by longshore only, or it would go unarchived",
        ),
        *(
            _rule(
                f"{update} || {_unchanged(what)}",
                f"{what} of longshore.dev are changed by longshore only",
            )
            for what in ("labels", "annotations")
        ),
    ]


def _taint_rules(tolerated: Sequence[str] | None) -> list[dict[str, str]]:
    """Which taints a Job of a tenant may tolerate, where the operator names some."""
    if tolerated is None:
        return []
    named = " || ".join(f"t.key.startsWith('{k}')" if k.endswith("/") else f"t.key == '{k}'" for k in tolerated)
    borne = f"{_TEMPLATE}.tolerations.all(t, has(t.key) && ({named or 'false'}))"
    allowed = f"request.operation != 'CREATE' || !has({_TEMPLATE}.tolerations) || {borne}"
    return [_rule(allowed, "a Job of a tenant tolerates only taints that the operator allows")]


def _status_rules(control: str, serve: str) -> list[dict[str, str]]:
    """A write to the status of a Job may change its metadata too, where the rules above do not look."""
    writers = f"request.userInfo.username in {_cel([control, *_JOB_WRITERS])}"
    hides = f"request.userInfo.username == '{serve}' && {_unchanged('annotations', but=ANNOTATION_HIDDEN)}"
    return [
        _rule(
            f"{writers} || {_finalizers('object')} == {_finalizers('oldObject')}",
            "finalizers of a tenant's Job are changed by longshore only, or it would go unarchived",
        ),
        _rule(f"{writers} || {_unchanged('labels')}", "labels of longshore.dev are changed by longshore only"),
        _rule(
            f"{writers} || ({hides}) || {_unchanged('annotations')}",
            "annotations of longshore.dev are changed by longshore only",
        ),
    ]


def _suspend(of: str) -> str:
    return f"(has({of}.spec.suspend) && {of}.spec.suspend)"


def _finalizers(of: str) -> str:
    return f"(has({of}.metadata.finalizers) ? {of}.metadata.finalizers : [])"


def _ours(of: str, what: str, but: str = "") -> str:
    """The keys of longshore.dev among the labels or annotations."""
    left_out = f" && k != '{but}'" if but else ""
    ours = f"{of}.metadata.{what}.map(k, k).filter(k, k.startsWith('longshore.dev/'){left_out})"
    return f"(has({of}.metadata.{what}) ? {ours} : [])"


def _unchanged(what: str, but: str = "") -> str:
    # by membership, because the order of a map's keys is not fixed
    new, old = _ours("object", what, but), _ours("oldObject", what, but)
    same = f"object.metadata.{what}[k] == oldObject.metadata.{what}[k]"
    return f"({new}.all(k, k in {old} && {same}) && {old}.all(k, k in {new}))"


def _cel(names: list[str]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"


def _rule(expression: str, why: str) -> dict[str, str]:
    return {"expression": expression, "message": f"{why}; {HINT}", "reason": "Forbidden"}


def _policy(
    name: str,
    plural: str,
    operations: tuple[str, ...],
    group: str,
    validations: list[dict[str, str]],
    *,
    where: dict[str, Any] | None = None,
) -> list[tuple[Resource[AnyObject], dict[str, Any]]]:
    """`where` selects the namespaces; all of them where it is left out."""
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": [*operations], "resources": [plural]}
    labels = {"app.kubernetes.io/managed-by": "longshore"}
    policy = {
        "apiVersion": VALIDATING_ADMISSION_POLICIES.api_version,
        "kind": VALIDATING_ADMISSION_POLICIES.kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {**({"namespaceSelector": where} if where else {}), "resourceRules": [rule]},
            "validations": validations,
        },
    }
    binding = {
        "apiVersion": VALIDATING_ADMISSION_POLICY_BINDINGS.api_version,
        "kind": VALIDATING_ADMISSION_POLICY_BINDINGS.kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return [(VALIDATING_ADMISSION_POLICIES, policy), (VALIDATING_ADMISSION_POLICY_BINDINGS, binding)]
