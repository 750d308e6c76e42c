"""Jobs: order, Stop, waiting that an interrupt ends, errors that reach the user."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from longctx.errors import ClosedError, Stopped
from longctx.jobs import Job, Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("test")
    yield made
    made.close()


def endless(job: Job[None]) -> None:
    while True:
        job.check()
        job.report("work", 1, 0)
        time.sleep(0.001)


def test_jobs_run_in_order_on_one_thread(worker: Worker) -> None:
    seen: list[tuple[int, str]] = []

    def note(number: int) -> Any:
        return lambda job: seen.append((number, threading.current_thread().name))

    for job in [worker.submit(Job(note(number), title=f"{number}")) for number in range(5)]:
        job.result()
    assert [number for number, _ in seen] == [0, 1, 2, 3, 4]
    assert len({name for _, name in seen}) == 1


def test_cancel_ends_a_running_job_as_stopped(worker: Worker) -> None:
    job = worker.submit(Job(endless, title="endless"))
    while job.state != "running":
        time.sleep(0.001)
    job.cancel()
    with pytest.raises(Stopped):
        job.result(10)
    assert job.state == "stopped"


def test_a_job_cancelled_in_the_queue_never_runs(worker: Worker) -> None:
    first = worker.submit(Job(endless, title="endless"))
    ran: list[int] = []
    second = worker.submit(Job(lambda job: ran.append(1), title="second"))
    second.cancel()
    first.cancel()
    with pytest.raises(Stopped):
        second.result(10)
    assert not ran


def test_an_error_is_raised_where_the_user_waits_and_the_worker_goes_on(worker: Worker) -> None:
    def fail(job: Job[None]) -> None:
        raise ValueError("cheese")

    with pytest.raises(ValueError, match="cheese"):
        worker.submit(Job(fail, title="fail")).result()
    assert worker.submit(Job(lambda job: 1, title="next")).result() == 1


def test_result_gives_up_after_its_timeout_and_the_job_goes_on(worker: Worker) -> None:
    job = worker.submit(Job(endless, title="endless"))
    with pytest.raises(TimeoutError):
        job.result(0.1)
    assert not job.finished
    job.cancel()


def test_a_job_can_be_awaited_beside_others(worker: Worker) -> None:
    async def both() -> list[int]:
        jobs = [worker.submit(Job(lambda job, n=n: n, title="n")) for n in range(2)]  # type: ignore[misc]
        return list(await asyncio.gather(*jobs))

    assert asyncio.run(both()) == [0, 1]


def test_a_closed_worker_stops_what_runs_and_takes_nothing_more(worker: Worker) -> None:
    job = worker.submit(Job(endless, title="endless"))
    worker.close()
    assert job.finished
    with pytest.raises(ClosedError):
        worker.submit(Job(lambda job: None, title="late"))


def test_watchers_hear_every_report_and_the_end_until_they_leave(worker: Worker) -> None:
    states: list[str] = []
    job: Job[None] = Job(lambda job: job.report("work", 1, 2), title="watched")
    leave = job.watch(lambda: states.append(job.state))
    worker.submit(job).result()
    leave()
    job.changed()
    assert states == ["running", "running", "done"]
    assert (job.progress.done, job.progress.total) == (1, 2)
