"""Volume rendering of triplanes (EG3D, Chan et al. 2022; NeRF, Mildenhall et al. 2020).

Frame: the volume's own, in its own units (box_warp wide, about 2.5 to the metre); cameras are OpenCV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .layers import FullyConnected
from .parallel import share_out

Jitter = tuple[torch.Tensor, torch.Tensor]  # coarse (B,R,Nc), fine (B,R,Nf), both in [0,1]
_POINTS = 16_384  # samples decoded at once: their hidden layer is 4 MB and stays in the cache
_RAYS = 4096  # rays marched at once; with 96 samples each, about 150 MB
_TINY = 1e-5


@dataclass(frozen=True)
class VolumeOptions:
    """Where rays are sampled, in volume units: distances along the ray, samples, width of the box."""

    near: float = 2.25
    far: float = 3.3
    coarse: int = 48
    fine: int = 48
    box_warp: float = 1.0


@dataclass(frozen=True)
class Rays:
    """origins and unit directions (B,R,3), pixels in reading order."""

    origins: torch.Tensor
    directions: torch.Tensor


@dataclass(frozen=True)
class Marched:
    """features (B,R,32) in [-1,1] (None if not asked for), expected ray distance (B,R), opacity (B,R)."""

    features: torch.Tensor | None
    distance: torch.Tensor
    opacity: torch.Tensor


class Decoder(nn.Module):
    """Mean plane feature (N,32) -> density (N,) and colour feature (N,32)."""

    def __init__(self, features: int = 32, hidden: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(FullyConnected(features, hidden), nn.Softplus(), FullyConnected(hidden, 1 + features))

    def forward(self, x: torch.Tensor, colour: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See the class; without `colour` only the density is computed. Colours still lack `tinted`."""
        hidden = self.net[1](self.net[0](x))
        last = self.net[2]
        assert isinstance(last, FullyConnected)
        if not colour:
            return F.linear(hidden, last.weight[:1] * last.scale, last.bias[:1])[:, 0], None
        y = last(hidden)
        return y[:, 0], torch.sigmoid(y[:, 1:])


def tinted(colour: torch.Tensor, weight: torch.Tensor | float = 1.0) -> torch.Tensor:
    """Sigmoids stretched a little beyond [0,1], or their sums over samples whose weights add up to `weight`."""
    return colour * 1.002 - 0.001 * weight


def projections(plane_axes: torch.Tensor) -> torch.Tensor:
    """(3,3,2): for each plane the matrix that takes a point to its (u,v), from the checkpoint's `plane_axes`."""
    return torch.linalg.inv(plane_axes.float())[:, :, :2]


def pinhole_rays(camera: torch.Tensor, resolution: int) -> Rays:
    """Rays through the pixel centres of a square image.

    camera (B,25): camera-to-volume matrix row by row (16), then intrinsics in units of the image size (9).
    """
    pose, intrinsics = camera[:, :16].view(-1, 4, 4), camera[:, 16:].view(-1, 3, 3)
    centre = (torch.arange(resolution, dtype=torch.float32, device=camera.device) + 0.5) / resolution
    v, u = torch.meshgrid(centre, centre, indexing="ij")
    u, v = u.reshape(1, -1), v.reshape(1, -1)
    fx, skew, cx = (intrinsics[:, 0, i, None] for i in range(3))
    fy, cy = intrinsics[:, 1, 1, None], intrinsics[:, 1, 2, None]
    y = (v - cy) / fy
    x = (u - cx - skew * y) / fx
    local = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    directions = F.normalize(local @ pose[:, :3, :3].mT, dim=-1)
    return Rays(pose[:, None, :3, 3].expand_as(directions), directions)


def middle_jitter(batch: int, rays: int, options: VolumeOptions, device: torch.device | str = "cpu") -> Jitter:
    """The jitter without randomness: interval midpoints and evenly spaced quantiles."""
    coarse = torch.full((batch, rays, options.coarse), 0.5, device=device)
    fine = torch.linspace(0, 1, options.fine, device=device).expand(batch, rays, -1)
    return coarse, fine


def seeded_jitter(generators: Sequence[torch.Generator], rays: int, options: VolumeOptions) -> Jitter:
    """Uniform jitter, each sample's from its own CPU generator."""
    coarse = [torch.rand(rays, options.coarse, generator=g) for g in generators]
    fine = [torch.rand(rays, options.fine, generator=g) for g in generators]
    return torch.stack(coarse), torch.stack(fine)


class Volume:
    """Triplanes (B,3,32,S,S) with the decoder that reads them."""

    def __init__(
        self, planes: torch.Tensor, decoder: Decoder, projection: torch.Tensor, options: VolumeOptions
    ) -> None:
        self._given = planes
        self.decoder, self.projection, self.options = decoder, projection.to(planes), options
        self.batch, self.planes, self.channels, self.size = planes.shape[:4]
        # rows of 32 channels, so that a sample is a weighted sum of twelve rows of one table
        self.table = planes.permute(0, 1, 3, 4, 2).reshape(-1, self.channels).contiguous()

    def sample(self, i: int) -> Volume:
        """The volume of one sample of the batch."""
        return Volume(self._given[i : i + 1], self.decoder, self.projection, self.options)

    def query(self, points: torch.Tensor, colour: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Density (B,N) and colour features (B,N,32) (or None) at points (B,N,3) in volume units."""
        density, features = self._query(points.mT, colour)
        return density, None if features is None else tinted(features)

    def _query(self, points: torch.Tensor, colour: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As `query`, of points (B,3,N), colours without `tinted`."""
        batch, _, count = points.shape
        density = points.new_empty(batch, count)
        features = points.new_empty(batch, count, self.channels) if colour else None
        step = max(1, _POINTS // batch)

        def decode(firsts: Sequence[int]) -> None:
            for first in firsts:
                some = slice(first, first + step)
                found, seen = self.decoder(self._sample(points[:, :, some]), colour)
                density[:, some] = found.view(batch, -1)
                if features is not None and seen is not None:
                    features[:, some] = seen.view(batch, -1, self.channels)

        share_out(decode, range(0, count, step), None if points.device.type == "cpu" else 1)
        return density, features

    def _sample(self, points: torch.Tensor) -> torch.Tensor:
        """Mean over the planes of the bilinear look-up at points (B,3,N); zero outside: (B*N,32)."""
        size, (batch, _, count) = self.size, points.shape
        axes = self.projection.mT.reshape(-1, 3).expand(batch, -1, -1)
        at = (torch.bmm(axes, points) * (2 / self.options.box_warp) + 1) * (size / 2) - 0.5
        low = at.floor()
        part = at - low
        low = low.clamp_(-2, size).int()
        places, shares = [], []
        for at_tap, share in ((low, 1 - part), (low + 1, part)):
            shares.append(share * ((at_tap >= 0) & (at_tap < size)))
            shares[-1][:, 1::2] /= self.planes
            places.append(at_tap.clamp(0, size - 1))
        rows = torch.arange(batch * self.planes, device=points.device, dtype=torch.int32).view(batch, -1, 1) * size
        index = low.new_empty(batch, self.planes, 4, count)
        weight = at.new_empty(batch, self.planes, 4, count)
        for tap, (i, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            index[:, :, tap] = (rows + places[j][:, 1::2]) * size + places[i][:, 0::2]
            torch.mul(shares[i][:, 0::2], shares[j][:, 1::2], out=weight[:, :, tap])
        return F.embedding_bag(
            index.flatten(1, 2).mT.reshape(batch * count, -1),
            self.table,
            mode="sum",
            per_sample_weights=weight.flatten(1, 2).mT.reshape(batch * count, -1),
        )

    def march(self, rays: Rays, jitter: Jitter, colour: bool = True, *, together: bool = False) -> Marched:
        """Render rays (B,R,3): coarse samples, fine samples where the coarse ones found matter, both together.

        A ray without any weight has the distance of the farthest sample: of its own image's, or, with `together` and as
        the published renderer has it, of the whole batch's.
        """
        per_call = max(1, _RAYS // self.batch)
        parts = [
            self._march(Rays(o, d), (c, f), colour)
            for o, d, c, f in zip(
                *(x.split(per_call, dim=1) for x in (rays.origins, rays.directions, *jitter)), strict=True
            )
        ]
        features = [part.features for part, _ in parts if part.features is not None]
        reach = torch.stack([reach for _, reach in parts]).amax(0)  # (B,)
        farthest = reach.amax().expand_as(reach) if together else reach
        distance = torch.cat([part.distance for part, _ in parts], 1)
        return Marched(
            torch.cat(features, 1) if colour else None,
            torch.where(distance.isnan(), farthest[:, None], distance),
            torch.cat([part.opacity for part, _ in parts], 1),
        )

    def _march(self, rays: Rays, jitter: Jitter, colour: bool) -> tuple[Marched, torch.Tensor]:
        """Some rays (distance NaN where there is no weight) and the farthest sample (B,) of each image's."""
        options = self.options
        step = (options.far - options.near) / (options.coarse - 1)
        start = torch.linspace(options.near, options.far, options.coarse, device=rays.origins.device)
        coarse = start + jitter[0] * step
        coarse_density, coarse_colour = self._along(rays, coarse, colour)
        fine = importance_samples(coarse, march_weights(coarse, coarse_density), jitter[1])
        fine_density, fine_colour = self._along(rays, fine, colour)
        distance, order = torch.sort(torch.cat([coarse, fine], -1), dim=-1)
        density = torch.cat([coarse_density, fine_density], -1).gather(-1, order)
        weights = march_weights(distance, density)
        opacity = weights.sum(-1)
        middle = (distance[..., 1:] + distance[..., :-1]) / 2
        expected = (weights * middle).sum(-1) / opacity
        features = None
        if coarse_colour is not None and fine_colour is not None:
            # each interval's colour is the mean of its ends, so each sample counts half of its two intervals
            ends = (F.pad(weights, (0, 1)) + F.pad(weights, (1, 0))) / 2
            share = torch.zeros_like(ends).scatter_(-1, order, ends)
            near, far = share.split([options.coarse, options.fine], -1)
            mixed = (near[..., None, :] @ coarse_colour + far[..., None, :] @ fine_colour)[..., 0, :]
            features = tinted(mixed, opacity[..., None]) * 2 - 1
        return Marched(features, expected, opacity), distance.flatten(1).amax(1)

    def _along(self, rays: Rays, distance: torch.Tensor, colour: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        points = rays.origins.mT[..., None] + distance[:, None] * rays.directions.mT[..., None]
        density, features = self._query(points.flatten(2), colour)
        shape = distance.shape
        return density.view(shape), None if features is None else features.view(*shape, -1)


def march_weights(distance: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
    """What each interval adds to its ray: sorted distances (...,N) and raw densities (...,N) -> (...,N-1)."""
    middle = F.softplus((density[..., 1:] + density[..., :-1]) / 2 - 1)
    # The exponential rounded to the nearest float32. A vectorised one may be off by a step of 6e-8. Where a
    # ray meets next to nothing, a single step moves its depth by centimetres.
    passed = -middle * (distance[..., 1:] - distance[..., :-1])
    exact = passed if passed.device.type == "mps" else passed.double()  # Apple's GPUs have no float64
    opacity = 1 - torch.exp(exact).float()
    clear = torch.cumprod(1 - opacity + 1e-10, -1)
    return opacity * torch.cat([torch.ones_like(clear[..., :1]), clear[..., :-1]], -1)


def importance_samples(distance: torch.Tensor, weights: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Distances (...,M) at quantiles u (...,M) of the coarse weights (...,N-1), smoothed, over distances (...,N)."""
    shape = u.shape
    distance, weights, u = (x.reshape(-1, x.shape[-1]) for x in (distance, weights, u))
    smooth = F.avg_pool1d(F.max_pool1d(weights[:, None], 2, 1, padding=1), 2, 1)[:, 0] + 0.01
    edges = (distance[:, 1:] + distance[:, :-1]) / 2
    mass = smooth[:, 1:-1] + _TINY
    cumulative = F.pad(torch.cumsum(mass / mass.sum(-1, keepdim=True), -1), (1, 0))
    above = torch.searchsorted(cumulative, u.contiguous(), right=True)
    below, above = (above - 1).clamp_min(0), above.clamp_max(cumulative.shape[-1] - 1)
    from_mass, to_mass = cumulative.gather(-1, below), cumulative.gather(-1, above)
    width = to_mass - from_mass
    width = torch.where(width < _TINY, 1.0, width)
    low, high = edges.gather(-1, below), edges.gather(-1, above)
    return (low + (u - from_mass) / width * (high - low)).view(shape)
