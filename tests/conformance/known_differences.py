"""Where trio's own tests differ under the kernel, and why; any other difference is a bug."""

from __future__ import annotations

_TESTING = "trio._tests.test_testing::"
_RUN = "trio._core._tests.test_run::"
_SYNC = "trio._tests.test_sync::"
_CHANNEL = "trio._tests.test_channel::"

#: Not for the kernel, whatever the order: the test and what it needs of the real world.
EXCLUDED = {
    f"{_TESTING}test_open_stream_to_socket_listener": "connects real sockets",
    f"{_RUN}test_current_time": "expects time to pass during a real time.sleep; ours is virtual",
    f"{_RUN}test_current_statistics": (
        "counts on run_sync_soon waking its task through a socket, at the next wait for input; "
        "the kernel wakes it at once"
    ),
    f"{_RUN}test_cancel_scope_repr": "asks for a repr from a worker thread",
    f"{_RUN}test_TrioToken_run_sync_soon_threaded_stress_test": "calls run_sync_soon from a thread",
    f"{_RUN}test_trio_context_detection": "asks a worker thread whether it is in trio",
}

#: May differ when the order within a batch is shuffled: none, trio shuffles batches itself.
BATCH_ORDER: dict[str, str] = {}

_MISNESTS = "breaks trio's nesting rules; trio counts on the abandoned task to run in time"

#: May differ when any ready task can be next: they assert that trio takes turns.
ANY_ORDER = {
    f"{_SYNC}test_generic_lock_fifo_fairness": "asserts that the tasks take the lock in turn",
    f"{_CHANNEL}test_as_safe_channel_multi_cancel": (
        "asserts which of two cancelled tasks notices first"
    ),
    f"{_TESTING}test_MemorySendStream": (
        "asserts that two senders overlap; one may be done before the other begins"
    ),
    f"{_RUN}test_basic_interleave": "asserts that two tasks take turns, step by step",
    f"{_RUN}test_reschedule": "asserts that the other task has begun after one checkpoint",
    f"{_RUN}test_nursery_misnest": _MISNESTS,
    f"{_RUN}test_asyncexitstack_nursery_misnest": _MISNESTS,
    f"{_RUN}test_asyncexitstack_nursery_misnest_cleanup": _MISNESTS,
    f"{_RUN}test_TrioToken_run_sync_soon_starvation_resistance": (
        "asserts that callbacks and main take turns, twenty times"
    ),
}
