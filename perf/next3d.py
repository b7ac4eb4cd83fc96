"""Where a Next3D picture's time goes, at the published size with random weights.

    python perf/next3d.py [--json FILE] [--threads 2] [--repeats 3]

Wall-clock seconds a stage, best of several runs at batch 1, and the peak memory of the process. The first run, which
transforms weights, is shown apart. With one thread processor time counts instead, so that other load on the machine
disturbs little. Takes about a minute and 3 GiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from synthforge_plugins.generators.next3d.config import TriplaneConfig
from synthforge_plugins.generators.next3d.dynamic import MeshTexture, covered_box, crop_mouth, mouth_box, paste_mouth
from synthforge_plugins.generators.next3d.fake import random_network
from synthforge_plugins.generators.next3d.network import LAYERS, Next3DNetwork
from synthforge_plugins.generators.next3d.raster import FRONT, TOP
from synthforge_plugins.generators.next3d.views import label, volume_camera
from synthforge_plugins.generators.next3d.volume import middle_jitter, pinhole_rays
from synthforge_plugins.heads.flame.fake import uv_mask
from synthforge_plugins.heads.flame.fake_head import fake_head, landmark_angles


def made_up_mesh() -> torch.Tensor:
    """Vertices and landmarks (1,5091,3) of the made-up head."""
    head = fake_head()
    face, weight = head.locate(*landmark_angles())
    points = (head.vertices[head.faces[face]] * weight[..., None]).sum(1)
    return torch.tensor(np.concatenate([head.vertices, points])[None], dtype=torch.float32)


def stages(network: Next3DNetwork, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of each stage of one picture of the `official` variant."""
    spent: dict[str, float] = {}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        started = clock()
        value = run()
        spent[name] = spent.get(name, 0.0) + clock() - started
        return value

    mesh, camera = made_up_mesh(), label([volume_camera(0.3, 0.1, 2.7, 20.0, 512)])
    vertices, landmarks = mesh[:, :5023], mesh[:, 5023:]
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(0))
    ws = timed("mapping", lambda: network.map(z, camera, psi=0.7))
    main = ws[:, :LAYERS]
    texture = timed("neural texture", lambda: network.texture_backbone.synthesis(ws[:, LAYERS:]))
    surface = MeshTexture(network.get_buffer("faces")[0], network.get_buffer("face_uvcoords")[0], network._mask)
    front = timed("rasterise", lambda: surface.view(texture, vertices, FRONT))
    timed("rasterise", lambda: (surface.sides(texture, vertices), surface.view(texture, vertices, TOP)))
    boxes = [mouth_box(points) for points in landmarks]
    mouth = timed("mouth", lambda: network.mouth_backbone.synthesis(main, crop_mouth(front.features, boxes)))
    stitched = paste_mouth(front.features, mouth, boxes)
    timed("blending", lambda: network.neural_blending.synthesis(main, stitched, covered_box(front.alpha)))
    static = timed("static planes", lambda: network.backbone.synthesis(main))
    volume = network.volume(static.unflatten(1, (3, 32)))
    rays, n = pinhole_rays(camera, network.config.neural), network.config.neural
    marched = timed("volume", lambda: volume.march(rays, middle_jitter(1, n * n, network.config.volume)))
    features = marched.features.mT.unflatten(2, (n, n))
    timed("super-resolution", lambda: network.superresolution(features, ws[:, LAYERS - 1]))
    return spent


def gflop(network: Next3DNetwork) -> dict[str, tuple[float, float]]:
    """GFLOP of each network's 3x3 convolutions: as written, and as `winograd` and `upsampling` compute them.

    Of whole planes: the blending network runs on a part of them.
    """

    def convolution(weight: torch.Tensor, pixels: int, saved: float = 1.0) -> np.ndarray:
        written = 18 * weight.shape[0] * weight.shape[1] * pixels / 1e9
        return written * np.array([1.0, saved if pixels >= 32 * 32 else 1.0])

    def blocks(synthesis: Any, first: int = 4) -> np.ndarray:
        total = np.zeros(2)
        for size in (n for n in synthesis.resolutions if n >= first):
            block = synthesis.block(size)
            total += convolution(block.conv1.weight, size**2, 1 / 4)
            if block.inputs:
                total += convolution(block.conv0.weight, (size // 2) ** 2, 81 / 144 if size > 64 else 1.0)
        size = getattr(synthesis, "condition_size", 0)
        for i, level in enumerate(getattr(synthesis, "encoder", [])):
            total += convolution(level.conv1.weight, (size >> i) ** 2, 1 / 4)
            total += convolution(level.conv2.weight, (size >> i + 1) ** 2)
        for i, fusion in enumerate(list(getattr(synthesis, "fusion", []))[:-1]):
            total += convolution(fusion.weight, (first // 2 << i) ** 2, 1 / 4)
        return total

    half = network.superresolution
    finer = np.zeros(2)
    for block, size in ((half.block0, 2 * half.size), (half.block1, 4 * half.size)):
        finer += convolution(block.conv0.weight, (size // 2) ** 2, 81 / 144)
        finer += convolution(block.conv1.weight, size**2, 1 / 4)
    counted = {
        "neural texture": blocks(network.texture_backbone.synthesis),
        "mouth": blocks(network.mouth_backbone.synthesis, 8),
        "blending": blocks(network.neural_blending.synthesis, 64),
        "static planes": blocks(network.backbone.synthesis),
        "super-resolution": finer,
    }
    return {name: (float(value[0]), float(value[1])) for name, value in counted.items()}


def yardstick(clock: Callable[[], float]) -> float:
    """Seconds of one 3x3 convolution of 128 channels at 128 x 128, 4.8 GFLOP; best of three."""
    x, weight = (torch.ones(n, 128, s, s).to(memory_format=torch.channels_last) for n, s in ((1, 128), (128, 3)))
    spent = []
    for _ in range(3):
        started = clock()
        torch.nn.functional.conv2d(x, weight, padding=1)
        spent.append(clock() - started)
    return min(spent)


def peak_gib() -> float:
    """Most memory this process has held; the kernel's own record, since `getrusage` also counts the parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = time.process_time if given.threads == 1 else time.perf_counter
    network = random_network(TriplaneConfig())
    network._mask = torch.from_numpy(uv_mask() / np.float32(255))
    with torch.inference_mode():
        first = stages(network, clock)
        runs, yards = [], []
        for _ in range(given.repeats):
            before = yardstick(clock)
            runs.append(stages(network, clock))
            yards.append((before + yardstick(clock)) / 2)
    best = {name: min(run[name] for run in runs) for name in first}
    counted = gflop(network)
    print(f"{'stage':18} {'first':>8} {'best':>8}   seconds, {given.threads} thread(s); GFLOP as written, computed")
    for name, seconds in best.items():
        flops = " ".join(f"{value:7.1f}" for value in counted.get(name, ()))
        print(f"{name:18} {first[name]:8.3f} {seconds:8.3f}   {flops}")
    total = min(sum(run.values()) for run in runs)
    peak = peak_gib()
    ratio = min(sum(run.values()) / yard for run, yard in zip(runs, yards, strict=True))
    print(
        f"yardstick {min(yards):.3f} s ({4.832 / min(yards):.0f} GFLOP/s); a picture is {ratio:.0f} of them beside it"
    )
    print(f"{'picture':18} {sum(first.values()):8.3f} {total:8.3f}\npeak memory {peak:.2f} GiB")
    if given.json:
        record = {
            "threads": given.threads,
            "first": first,
            "best": best,
            "picture": total,
            "yardsticks": ratio,
            "gflop": counted,
            "peak_gib": peak,
        }
        given.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
