"""Small steps on the CPU, shared out whole among the threads that torch would have divided each of them among.

And the memory they work in: fresh memory costs a page fault for every 4 kB, which was a tenth of a picture's time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import prod
from threading import Lock

import torch

_spare: list[torch.Tensor] = []
_guard = Lock()


@contextmanager
def borrowed(*shape: int) -> Iterator[torch.Tensor]:
    """Uninitialised float32 memory on the CPU that others used before; not to be kept beyond the block.

    At the published size all of it together comes to about 300 MB, and is kept for the next picture.
    """
    needed = prod(shape)
    with _guard:
        fitting = [i for i, buffer in enumerate(_spare) if needed <= len(buffer) <= 2 * needed + 1024]
        buffer = _spare.pop(min(fitting, key=lambda i: len(_spare[i]))) if fitting else None
    if buffer is None:
        with torch.inference_mode(False):
            buffer = torch.empty(needed)
    try:
        yield buffer[:needed].view(shape)
    finally:
        with _guard:
            _spare.append(buffer)


def _forget() -> None:
    """In a forked process: nobody else's lock."""
    global _guard
    _guard = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


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
