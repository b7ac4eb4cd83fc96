"""Small steps on the CPU, shared out whole among the threads that torch would have divided each of them among."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch


def share_out(work: Callable[[Sequence[int]], None], items: Sequence[int], threads: int | None = None) -> None:
    """Call `work` with a share of the items in each thread, every thread computing by itself; waits for all.

    Many small operations would spend their time waiting at barriers if every one were divided. Which thread takes which
    item does not change what is computed.
    """
    allowed = torch.get_num_threads()
    count = min(threads or allowed, allowed, len(items))
    if count <= 1:
        work(items)
        return
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def run(mine: Sequence[int]) -> None:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients and not inference):
            work(mine)

    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(run, [items[i::count] for i in range(count)]))
    finally:
        torch.set_num_threads(allowed)  # threads made later start with what was set last
