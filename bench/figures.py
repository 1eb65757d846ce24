"""The one table of what is measured: for each benchmark its figures, what they say, and the goal they are held to.

A benchmark is the file of that name beside this one; its `measure` returns these keys and no others.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Verdict(Enum):
    MET = "met"
    MISSED = "missed"
    REPORTED = "reported"


class Figure(Struct, frozen=True):
    """One number. With neither goal it is only reported."""

    key: str
    what: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def goal(self) -> str:
        if self.at_least is not None:
            return f"≥{self.at_least:g}"
        return "" if self.at_most is None else f"≤{self.at_most:g}"

    def verdict(self, value: float) -> Verdict:
        if self.at_least is None and self.at_most is None:
            return Verdict.REPORTED
        enough = self.at_least is None or value >= self.at_least
        return Verdict.MET if enough and (self.at_most is None or value <= self.at_most) else Verdict.MISSED


FIGURES: dict[str, tuple[Figure, ...]] = {
    "list_decode": (
        Figure("list_decode_cpu_ratio", "CPU to list 10,000 Jobs: the official client's ÷ ours", at_least=20),
        Figure("list_decode_cpu_ratio_lightkube", "lightkube's ÷ ours", at_least=4),
        Figure("list_decode_cpu_ratio_asyncio", "kubernetes_asyncio's ÷ ours"),
        Figure("list_decode_cpu_s", "our CPU seconds, by pages, into the store"),
        Figure("list_decode_streamed_cpu_s", "the same by a streaming list"),
        Figure("cache_kb_per_job", "resident KB for each cached Job", at_most=6),
        Figure("cache_kb_per_job_official", "the same with the official client's models"),
        Figure("cache_kb_per_job_lightkube", "the same with lightkube's models"),
    ),
    "watch_event": (
        Figure("watch_event_us", "CPU µs for a Job's change, into the store and to one subscriber", at_most=15),
        Figure("watch_event_small_us", "the same for an object of 1 KB"),
        Figure("watch_event_paced_us", "the same for Jobs, 1,000 changes a second, each on its own"),
        Figure("watch_event_us_official", "the official client's, for a Job"),
        Figure("watch_event_us_lightkube", "lightkube's"),
        Figure("watch_event_us_asyncio", "kubernetes_asyncio's"),
    ),
    "gc_pause": (
        Figure("gc_pause_ms_10k", "worst full garbage collection with 10,000 Jobs cached, ms"),
        Figure("gc_pause_ms_100k", "the same with 100,000", at_most=20),
        Figure("gc_pause_ms_10k_official", "the same with 10,000 models of the official client"),
    ),
    "store_page": (
        Figure("store_page_p50_us_10k", "page of 50 of one tenant out of 10,000, newest first, p50 µs"),
        Figure("store_page_p99_us_10k", "the same at p99"),
        Figure("store_page_p50_us_100k", "the same out of 100,000, p50 µs"),
        Figure("store_page_p99_us_100k", "the same at p99"),
        Figure("page_p99_ms_10k", "GET /v1/jobs?limit=50, filtered and sorted, out of 10,000, p99 ms", at_most=10),
        Figure("page_p99_ms_100k", "the same out of 100,000", at_most=25),
    ),
    "fanout": (
        Figure("fanout_us_1", "CPU µs for one change to reach 1 subscriber"),
        Figure("fanout_us_1000", "the same for 1,000 subscribers"),
        Figure("fanout_us_10000", "the same for 10,000"),
        Figure("fanout_us_per_subscriber", "CPU µs for each of the 10,000"),
        Figure("fanout_last_ms_10000", "until the last of 10,000 has it, p99 ms"),
    ),
    "reconciles": (
        Figure("reconciles_per_second", "plans that do nothing, over 10,000 objects"),
        Figure("reconciles_per_second_writing", "plans that each patch their ConfigMap on the API server"),
        Figure("reconciles_writing_ratio_vs_bare", "that ÷ bare patches by the same client"),
    ),
    "broken_server": (
        Figure("broken_server_requests_per_second", "to a broken server after backoff, in the worst mode", at_most=1),
        Figure("broken_server_requests_per_second_official", "by the official client's SharedInformer"),
        Figure("broken_server_requests_per_second_lightkube", "by lightkube's watch with on_error_retry"),
        Figure("broken_server_requests_per_second_asyncio", "by kubernetes_asyncio's Watch"),
        Figure("broken_server_gave_up", "modes in which ours no longer tries", at_most=0),
        Figure("broken_server_gave_up_official", "modes in which the official client no longer tries"),
        Figure("broken_server_gave_up_lightkube", "modes in which lightkube no longer tries"),
        Figure("broken_server_gave_up_asyncio", "modes in which kubernetes_asyncio no longer tries"),
    ),
    "cluster_start": (
        Figure("cold_start_s", "`longshore up` of a new cluster, control plane built", at_most=15),
        Figure("warm_start_s", "the same after `longshore down`", at_most=8),
        Figure("control_plane_rss_mb", "resident MB of the idle etcd, API server, controller manager and scheduler"),
        Figure("process_node_rss_mb", "of the process node"),
        Figure("longshore_rss_mb", "of `serve` and `control`"),
    ),
    "process_node": (
        Figure("process_node_pods_per_second", "trivial pods from created to done, 20 at a time", at_least=10),
        Figure("process_node_200_running_s", "seconds until 200 pods run at once"),
        Figure("process_node_mb_per_pod", "memory in MB of each of them, shared pages by their share"),
        Figure("process_node_200_idle_cpu", "cores that 200 of them use while they do nothing"),
    ),
    "submissions": (
        Figure("submissions_per_second", "POST /v1/jobs until the lists show them, 16 callers, 60 s", at_least=250),
        Figure("submit_ratio_vs_raw", "that ÷ bare POSTs of the same Jobs to the API server", at_least=0.25),
        Figure("submit_raw_per_second", "the bare POSTs"),
        Figure("submit_loaded_p99_ms", "until the answer under that load, p99 ms"),
        Figure("submit_ack_p50_ms", "until the answer at 10 requests a second, p50 ms", at_most=8),
        Figure("submit_ack_p99_ms", "the same at p99", at_most=30),
        Figure("submit_ack_raw_p50_ms", "the bare POSTs at the same pace, p50 ms"),
        Figure("submit_ack_raw_p99_ms", "the same at p99"),
    ),
    "lifecycle": (
        Figure("lifecycle_jobs_per_second", "submitted, admitted, ended on kwok nodes, archived; 2,000", at_least=35),
        Figure("lifecycle_ratio_vs_bare", "that ÷ bare Jobs with the same pods, until complete", at_least=0.6),
        Figure("lifecycle_bare_per_second", "the bare Jobs"),
        Figure("lifecycle_argo_default_per_second", "workflows of one such pod, Argo Workflows as it ships"),
        Figure("lifecycle_argo_tuned_per_second", "the same with its limits on requests raised"),
    ),
    "log_follow": (
        Figure("log_follow_mb_per_second", "MB of a running job's log, one follower through the API", at_least=50),
        Figure("log_archived_mb_per_second", "the same log read from the archive through the API"),
        Figure("log_bare_mb_per_second", "the same from the kubelet by the API server alone, without longshore"),
    ),
    "archive_jobs": (
        Figure(
            "archive_jobs_per_second", "jobs with log, record and index entry in the archive, released", at_least=60
        ),
        Figure("archive_jobs_cpu_ms", "CPU ms of `control` for each of them"),
        Figure("archive_jobs_bare_patches_per_second", "bare patches that take a finalizer off, same control plane"),
    ),
    "million": (
        Figure("million_memory_growth_mb", "peak RSS of API and compaction, 10,000 to 1,000,000 archived", at_most=50),
        Figure("million_page_p99_ms", "GET /v1/jobs of 50 anywhere in a million archived, p99 ms", at_most=100),
        Figure("million_page_p99_ms_10k", "the same in 10,000"),
        Figure("million_find_p99_ms", "a job of them by its id, p99 ms"),
        Figure("million_search_s", "all that have a rare name, over all pages of the list, s"),
        Figure("million_search_page_p99_ms", "each of these pages, p99 ms"),
        Figure("million_compaction_p99_s", "compaction after each 10,000, p99 s"),
    ),
    "status_to_socket": (
        Figure("status_to_socket_p99_ms_1", "a change, acknowledged, until it is at 1 socket, p99 ms", at_most=30),
        Figure("status_to_socket_p50_ms_1", "the same at p50"),
        Figure("status_to_socket_p99_ms_1000", "until it is at 1,000 sockets, each a sample, p99 ms", at_most=100),
        Figure("status_to_socket_p50_ms_1000", "the same at p50"),
        Figure("fanout_us_per_socket", "CPU µs of `serve` for each message to one of 1,000 sockets", at_most=20),
    ),
    "sockets": (
        Figure("sockets_10000_memory_mb", "resident MB of `serve` with 10,000 idle sockets", at_most=400),
        Figure("sockets_0_memory_mb", "the same without"),
        Figure("sockets_kb_each", "KB for each of them"),
    ),
}
