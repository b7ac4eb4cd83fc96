"""Speed of the warp rasteriser against pytorch3d on the same meshes, in one run.

    python perf/rasteriser.py [--json FILE] [--device cpu|cuda]

Each time is the best of several runs, in milliseconds an image, one image at a time; the first run, which compiles
kernels, does not count. On the CPU one thread works and its processor time counts, so that other load on the
machine disturbs little. The ratio says how many times faster warp is. Takes about a minute: pytorch3d is slow there.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthforge.geometry.cameras import orbit_camera, stack_cameras, to_camera_torch
from synthforge.geometry.meshes import Mesh, grid, icosphere
from synthforge.geometry.raster import BackendMissingError, get_rasteriser

# Repetitions: pytorch3d takes seconds an image on a CPU.
REPEATS = {"cpu": {"warp": 30, "pytorch3d": 1}, "cuda": {"warp": 30, "pytorch3d": 30}}
SIZES = (256, 512)


def wavy_head(columns: int) -> Mesh:
    """A head-sized bumpy barrel without lids: 2 * columns * 0.75 * columns faces."""
    flat = grid(columns, columns * 3 // 4, 2 * np.pi, 0.26)
    angle, y = flat.vertices[:, 0], flat.vertices[:, 1]
    radius = 0.09 * np.sqrt(1 - (y / 0.14) ** 2) + 0.004 * np.cos(5 * angle) * np.cos(40 * y)
    points = np.stack([radius * np.sin(angle), y, radius * np.cos(angle)], axis=1)
    return Mesh(points.astype(np.float32), flat.faces)


MESHES: dict[str, Callable[[], Mesh]] = {
    "sphere": lambda: icosphere(5, 0.12),  # 20,480 faces
    "head": lambda: wavy_head(134),  # 26,800 faces
}


def best_ms(run: Callable[[], object], repeats: int, device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    times = []
    for _ in range(repeats):
        started = clock()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - started)
    return 1000 * min(times)


def measure(mesh: Mesh, size: int, device: str) -> dict[str, float]:
    """Milliseconds an image for each backend that is installed."""
    intrinsics, poses = stack_cameras([orbit_camera(0.3, 0.1, 1.0, 18, size, size)], device)
    vertices = to_camera_torch(torch.tensor(mesh.vertices, device=device), poses)
    faces = torch.tensor(mesh.faces, device=device)
    result: dict[str, float] = {}
    for name, repeats in REPEATS[device].items():
        try:
            backend = get_rasteriser(name)
        except BackendMissingError as error:
            print(f"left out: {error}")
            continue

        def run(backend: Any = backend) -> torch.Tensor:
            return backend.rasterise(vertices, faces, intrinsics, size, size).face_id

        if repeats > 1:
            run()
        result[name] = best_ms(run, repeats, device)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file as well")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"{'mesh':8} {'faces':>7} {'size':>5} {'warp ms':>9} {'pytorch3d ms':>13} {'ratio':>8}")
    for name, build in MESHES.items():
        mesh = build()
        for size in SIZES:
            times = measure(mesh, size, options.device)
            ratio = times["pytorch3d"] / times["warp"] if "pytorch3d" in times else float("nan")
            slow = times.get("pytorch3d", float("nan"))
            print(f"{name:8} {len(mesh.faces):7,} {size:5} {times['warp']:9.2f} {slow:13.1f} {ratio:8.0f}")
            rows.append({"mesh": name, "faces": len(mesh.faces), "size": size, "ms": times})
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
        options.json.write_text(json.dumps({"device": options.device, **machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
