"""Linear blend skinning and rotations, shared by the head models.

Plain torch, batched, differentiable; frames are the caller's. Rotations follow the right-hand rule: an axis-angle
vector points along the axis and its length is the angle in radians.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def rodrigues(axis_angle: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (...,3,3) of axis-angle vectors (...,3), radians.

    Rodrigues' formula R = I + sin(t)/t K + (1 - cos t)/t^2 K^2; both factors are written with sinc, so that the
    result and its gradient stay exact at and around zero.
    """
    angle = axis_angle.square().sum(-1).clamp_min(1e-30).sqrt()[..., None, None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    first = torch.sinc(angle / torch.pi)
    second = 0.5 * torch.sinc(angle / (2 * torch.pi)).square()
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + first * skew + second * (skew @ skew)


def axis_angle(rotation: torch.Tensor) -> torch.Tensor:
    """Axis-angle vectors (...,3), radians, of rotation matrices (...,3,3); the inverse of `rodrigues` below pi.

    Goes through the quaternion whose largest component is taken from the diagonal (Shepperd 1978), which is accurate
    for every angle, half turns included.
    """
    m = rotation
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)
    # squared quaternion components times four: w, x, y, z
    squares = torch.stack([1 + trace] + [1 - trace + 2 * m[..., i, i] for i in range(3)], dim=-1)
    products = torch.stack(
        [
            torch.stack([squares[..., 0], m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0],
                         m[..., 1, 0] - m[..., 0, 1]], dim=-1),
            torch.stack([m[..., 2, 1] - m[..., 1, 2], squares[..., 1], m[..., 0, 1] + m[..., 1, 0],
                         m[..., 0, 2] + m[..., 2, 0]], dim=-1),
            torch.stack([m[..., 0, 2] - m[..., 2, 0], m[..., 0, 1] + m[..., 1, 0], squares[..., 2],
                         m[..., 1, 2] + m[..., 2, 1]], dim=-1),
            torch.stack([m[..., 1, 0] - m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1],
                         squares[..., 3]], dim=-1),
        ],
        dim=-2,
    )  # fmt: skip
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = torch.nn.functional.normalize(products.gather(-2, best).squeeze(-2), dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    imaginary = quaternion[..., 1:]
    sine = imaginary.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternion[..., :1])
    return imaginary * torch.where(sine > 1e-12, angle / sine.clamp_min(1e-12), 2.0)


def bone_transforms(rotations: torch.Tensor, joints: torch.Tensor, parents: Sequence[int]) -> torch.Tensor:
    """Transforms (B,J,3,4) that take points from the rest pose to the posed one, bone by bone.

    rotations (B,J,3,3): each bone's turn about its own joint, in axes parallel to the world's in the rest pose and
    carried along by its parent. joints (B,J,3): rest positions. parents: index of each bone's parent, -1 for a root;
    parents come before their children (ValueError).
    """
    turns: list[torch.Tensor] = []
    places: list[torch.Tensor] = []
    for bone, parent in enumerate(parents):
        if parent >= bone:
            raise ValueError(f"bone {bone} comes before its parent {parent}")
        if parent < 0:
            turns.append(rotations[:, bone])
            places.append(joints[:, bone])
        else:
            offset = joints[:, bone] - joints[:, parent]
            turns.append(turns[parent] @ rotations[:, bone])
            places.append(places[parent] + (turns[parent] @ offset[..., None]).squeeze(-1))
    turn = torch.stack(turns, dim=1)
    place = torch.stack(places, dim=1)
    shift = place - (turn @ joints[..., None]).squeeze(-1)
    return torch.cat([turn, shift[..., None]], dim=-1)


def skin(vertices: torch.Tensor, weights: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
    """Linear blend skinning: vertices (B,V,3), weights (V,J) summing to one, transforms (B,J,3,4) -> (B,V,3)."""
    batch, bones = transforms.shape[:2]
    # one plane a coordinate: three fused multiply-adds over long rows instead of a tiny matrix product a vertex
    blended = (transforms.reshape(batch, bones, 12).transpose(1, 2) @ weights.T).unflatten(1, (3, 4))
    x, y, z = vertices.transpose(1, 2).split(1, dim=1)
    out = torch.addcmul(blended[:, :, 3], blended[:, :, 0], x)
    out = torch.addcmul(out, blended[:, :, 1], y)
    out = torch.addcmul(out, blended[:, :, 2], z)
    return out.transpose(1, 2).contiguous()
