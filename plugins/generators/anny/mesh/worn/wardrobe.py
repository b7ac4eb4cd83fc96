"""Puts accessories on posed heads: fills the slots of the scene's mesh, their paint, and what they shade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from synthforge.core.camera import Camera

from .....schemas import SYNTHFORGE
from ..anatomy import azimuth_of
from .binding import build_shell, relief
from .hands import Hand, laid
from .headwear import hat_patch, rim_height
from .held import is_right, place_hand, thing_patches
from .jewellery import earring_patches, lobe_vertices
from .masks import mask_patches
from .neckwear import chain_patch, scarf_patch
from .skirt import build_skirt
from .slots import ABSENT, FACES, NUM_VERTICES, SLOTS, WEAVES, Patch

_FACE_WIDTH = 0.135  # m between the jaw's ends of an adult: hands scale with the face, half as much


_SOFT = 0.02  # m around it within which the skin carries what was fitted to it


class Wearer(NamedTuple):
    """A posed head: vertices (V,3), landmarks (68,3), rows x, y, z of its face, centres (2,3) of its eyes; metres."""

    head: np.ndarray
    points: np.ndarray
    frame: np.ndarray
    eyes: np.ndarray


class Wardrobe:
    """Static parts: where things sit on the head, and the faces of all slots, of a hand, and of more clothes last."""

    def __init__(self, mm: np.ndarray, body: np.ndarray, ear: np.ndarray, hand: Mapping[str, np.ndarray]) -> None:
        """mm: canonical vertices (V,3); body: faces (F,3) of the skin; ear: mask (V,) of the ears; hand: see `Hand`."""
        self.mm = mm
        self.shell = build_shell(mm, body)
        self.skirt = build_skirt(mm, body)
        self.lobes = lobe_vertices(mm, ear)
        self.skin = np.unique(body)
        self.skin = self.skin[mm[self.skin, 1] > -200.0]
        self.front = self.skin[(mm[self.skin, 1] > -150.0) & (mm[self.skin, 2] > -130.0)]
        self.azimuth = azimuth_of(mm)
        self.hand = Hand(hand)
        self.first_skirt = NUM_VERTICES + len(self.hand.points)
        self.hand_run = slice(NUM_VERTICES, self.first_skirt)
        self.num_vertices = self.first_skirt + len(self.skirt.source)
        self.hand_faces = self.hand.faces + NUM_VERTICES
        self.faces = np.concatenate([FACES, self.hand_faces, self.skirt.faces + self.first_skirt]).astype(np.int32)
        around = mm[self.skirt.source] + 1000.0 * self.skirt.along
        self.skirt_uv = np.stack([around[:, 0], around[:, 1] + 0.4 * around[:, 2]], axis=1)

    def dress(
        self,
        parameters: Sequence[Mapping[str, Any]],
        wearers: Sequence[Wearer],
        fitted: Sequence[Wearer],
        cameras: Sequence[Camera],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Everything worn in a batch.

        fitted: the heads that cloth and hands were laid on, which then follow the skin: `wearers` themselves, in
        clips the calm ones. Laid anew on every frame, things would jump. Returns vertices (B,N,3), paint (B,N,2,4):
        colour and gloss, then texture u, v, its strength, and class + WEAVES * weave; dead (B,N) uint8. open (B,V):
        share of the sky that what is worn leaves to the head.
        """
        batch = len(parameters)
        vertices = np.zeros((batch, self.num_vertices, 3), np.float32)
        paint = np.zeros((batch, self.num_vertices, 2, 4), np.float32)
        dead = np.full((batch, self.num_vertices), ABSENT, np.uint8)
        sky = np.ones((batch, len(self.mm)), np.float32)
        vertices[:, self.first_skirt :] = self.skirt.posed(np.stack([each.head for each in wearers]))
        dead[:, self.first_skirt :] = 0
        cloth = SYNTHFORGE.id("cloth")
        for i, p in enumerate(parameters):
            clothes = p["clothes"]
            paint[i, self.first_skirt :, 0, :3] = clothes["colour"]
            paint[i, self.first_skirt :, 1, :2] = self.skirt_uv * clothes["pattern_scale"]
            paint[i, self.first_skirt :, 1, 2:] = clothes["pattern"], cloth
            if not anything(p):
                continue
            patches = self._patches(p, fitted[i], cameras[i])
            if fitted[i] is not wearers[i]:
                patches = {name: self._carried(patch, fitted[i], wearers[i]) for name, patch in patches.items()}
            patches |= self._bound(p, wearers[i])
            for name, patch in patches.items():
                run = self.hand_run if name == "hand" else SLOTS[name].run
                vertices[i, run] = patch.points.reshape(-1, 3)
                dead[i, run] = 0
                _paint(paint[i, run], patch)
            sky[i] = self._shade(p, patches, wearers[i].head, wearers[i].frame)
        return vertices, paint, dead, sky

    def turned_out(self, parameters: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """1 or -1 (B,): the sign of normals of the hand's faces, which are those of a left one."""
        return np.array([-1.0 if is_right(p) else 1.0 for p in parameters], np.float32)

    def _bound(self, p: Mapping[str, Any], wearer: Wearer) -> dict[str, Patch]:
        """What is bound to places of the head."""
        patches: dict[str, Patch] = {}
        if p["hat"]["present"]:
            patches["hat"] = hat_patch(p["hat"], self.shell, wearer.head.astype(np.float64), wearer.frame)
        if any(p["jewellery"]["worn"]):
            lobes = wearer.head[self.lobes].astype(np.float64)
            patches |= earring_patches(p["jewellery"], lobes, wearer.frame, _scale(wearer.points))
        return patches

    def _patches(self, p: Mapping[str, Any], wearer: Wearer, camera: Camera) -> dict[str, Patch]:
        """What is laid on the skin."""
        patches: dict[str, Patch] = {}
        (head, points, frame, eyes), scale = wearer, _scale(wearer.points)
        head = head.astype(np.float64)
        if p["scarf"]["present"]:
            patches["neck"] = scarf_patch(p["scarf"], points, head, self.mm)
        elif p["jewellery"]["necklace"]:
            patches["chain"] = chain_patch(p["jewellery"], points, head, self.mm)
        solid = head[self.front]
        if p["mask"]["present"]:
            patches |= mask_patches(p["mask"], points, solid, frame, eyes.mean(0))
            solid = np.concatenate([solid, patches["mask"].points.reshape(-1, 3)])
        if p["glasses"]["worn"]:  # hands and phones stay off the lenses
            rims = points[[37, 38, 40, 41, 43, 44, 46, 47]] + 0.022 * frame[2]
            solid = np.concatenate([solid, rims])
        if p["hand"]["present"]:
            anchor, axes = place_hand(p["hand"], points, frame)
            patches["hand"] = laid(self.hand, p["hand"], anchor, axes, solid, scale)
        if p["occluder"]["present"]:
            view = camera.world_to_camera[:3, :3]
            patches |= thing_patches(self.hand, p["occluder"], points, frame, view, solid, scale)
        return patches

    def _carried(self, patch: Patch, fitted: Wearer, wearer: Wearer) -> Patch:
        """A patch moved as the skin near it moved, far from all skin as the nearest."""
        some = self.front[::7]
        near, moved = fitted.head[some], wearer.head[some] - fitted.head[some]
        flat = patch.points.reshape(-1, 3)
        square = ((flat[:, None] - near[None]) ** 2).sum(-1)
        weight = np.exp((square.min(1, keepdims=True) - square) / (2 * _SOFT**2))
        carried = flat + weight @ moved / weight.sum(1, keepdims=True)
        return replace(patch, points=carried.reshape(patch.points.shape))

    def _shade(
        self, p: Mapping[str, Any], patches: Mapping[str, Patch], head: np.ndarray, frame: np.ndarray
    ) -> np.ndarray:
        """Share (V,) of the sky's light that reaches the head's vertices past what is near them."""
        sky = np.ones(len(head))
        if "hat" in patches:
            below = rim_height(p["hat"]["rim"], self.azimuth) - self.mm[:, 1]
            wide = p["hat"]["kind"] in ("brimmed", "cap")
            near = 0.45 * np.exp(-np.maximum(below, 0) / 9.0)
            far = 0.35 * np.exp(-np.maximum(below, 0) / 45.0) * (np.cos(self.azimuth) > 0.4) if wide else 0.0
            sky *= np.where(below > 0, 1 - near - far, 0.3)
        if "neck" in patches:
            top = patches["neck"].points[..., 1].max(1).mean()
            sky *= 1 - 0.45 / (1 + np.exp((head[:, 1] - top - 0.008) / 0.006)) * (self.mm[:, 1] > -190)
        held = [patch.points.reshape(-1, 3) for name, patch in patches.items() if name.startswith(("part", "hand"))]
        if held:
            middle, cloud = head[self.front].mean(0), np.concatenate(held)
            toward = frame[2] + 0.7 * np.sign((cloud.mean(0) - middle) @ frame[0]) * frame[0]
            toward = toward / np.linalg.norm(toward)
            right = np.cross(frame[1], toward)
            right /= np.linalg.norm(right)
            axes = np.stack([right, np.cross(toward, right), toward])
            local, over = (head[self.front] - middle) @ axes.T, (cloud - middle) @ axes.T
            corner = np.full(2, 0.15)
            gap = relief(over[:, :2], over[:, 2], -corner, corner, (44, 44)).at(local[:, :2]) - local[:, 2]
            dark = np.where(np.isfinite(gap) & (gap > -0.01), 0.5 * np.exp(-np.maximum(gap, 0) / 0.03), 0.0)
            sky[self.front] *= 1 - dark
        return sky.astype(np.float32)


def _scale(points: np.ndarray) -> float:
    return 0.5 + 0.5 * float(np.linalg.norm(points[0] - points[16])) / _FACE_WIDTH


def anything(p: Mapping[str, Any]) -> bool:
    """Whether a scene has any accessory at all."""
    present = any(p[name]["present"] for name in ("hat", "mask", "scarf", "hand", "occluder"))
    return present or any(p["jewellery"]["worn"]) or p["jewellery"]["necklace"]


def _paint(into: np.ndarray, patch: Patch) -> None:
    """Write a patch's paint (N,2,4)."""
    into[:, 0, :3] = np.broadcast_to(patch.colour, patch.points.shape).reshape(-1, 3)
    into[:, 0, 3] = patch.gloss
    if patch.uv is not None:
        into[:, 1, :2] = patch.uv.reshape(-1, 2)
    into[:, 1, 2] = patch.pattern
    into[:, 1, 3] = SYNTHFORGE.id(patch.label) + WEAVES * patch.weave
