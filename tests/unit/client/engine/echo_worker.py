"""Answers each request by its own tensors; prints its memory before the first and after each."""

import resource
import sys
import time

from fedehr_client.engine.runtime_tasks import RuntimeTasks
from fedehr_client.worker.allocation import return_large_blocks
from fedehr_shared.wire.payload import Payload


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    return_large_blocks()
    tasks = RuntimeTasks(int(sys.argv[1]), sys.argv[2].encode())
    tasks.next()
    print(peak_bytes(), flush=True)
    while True:
        task = tasks.next()
        if task is None:
            time.sleep(0.02)
            continue
        begin = time.monotonic()
        request = task.request()
        read = time.monotonic()
        after_request = peak_bytes()
        tasks.reply(task, Payload({"update": request.tensors.pop("model")}))
        sent = time.monotonic()
        print(after_request, peak_bytes(), read - begin, sent - read, flush=True)


if __name__ == "__main__":
    main()
