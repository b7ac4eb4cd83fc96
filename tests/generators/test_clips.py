"""Clips: one person who moves smoothly, labels and flow on every frame, the same bytes whatever makes them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from synthforge_plugins.generators.anny.factors.motion import MotionConfig
from synthforge_plugins.generators.anny.together.curves import Keys, Noise, eased
from synthforge_plugins.generators.anny.together.motion import Motion
from synthforge_plugins.heads.anny.distribution import AnnyDistribution
from test_together import PERSON, digests, same

import synthforge as sf
from synthforge import testing
from synthforge.core.camera import Camera
from synthforge.core.errors import AnnotationError
from synthforge.core.nearby import Origin
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Field, Rendering, Surface
from synthforge.datasets.codecs import CODECS, Encoding
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.show import columns_of
from synthforge.datasets.verify import verify
from synthforge.datasets.video import clip_at, write_video

CLIP: dict[str, Any] = {"name": "anny", "motion": {"frames": 6, "fps": 25, "speech": 1}, "batch_size": 4}
LABELS = ["landmarks", "segmentation", "gaze", "arkit", "flow"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clips") / "dataset"
    sf.generate(out, CLIP, samples=12, resolution=64, seed=4, shard_size=5, workers=1, annotators=LABELS)
    return out


def frames(keys: dict[str, Any], indices: range, size: int = 128, seed: int = 3) -> list[Rendering]:
    generator = load_plugins().build("generator", {"name": "anny", **keys})
    found: list[Rendering] = generator.render([generator.sample(seed, index) for index in indices], size)
    return found


def test_workers_and_shards_change_no_byte_of_a_clip(clips: Path, tmp_path: Path) -> None:
    sf.generate(tmp_path / "d", CLIP, samples=12, resolution=64, seed=4, shard_size=5, workers=2, annotators=LABELS)
    assert digests(tmp_path / "d") == digests(clips)
    report = verify(clips)
    assert report.ok, report.problems


def test_identity_is_the_same_bytes_in_every_frame(clips: Path) -> None:
    for clip in sf.open_dataset(clips, ["scene"]).groups():
        first, *others = [frame["scene"]["parameters"] for frame in clip]
        for other in others:
            assert all(same(first[name], other[name]) for name in (*PERSON, "light", "camera"))
            for name in ("phenotype", "local"):
                assert same(first["head"][name], other["head"][name])
            assert not same(first["head"]["head"], other["head"]["head"])


def test_every_frame_has_labels_and_the_last_has_no_flow(clips: Path) -> None:
    for clip in sf.open_dataset(clips).groups():
        found = [np.isfinite(frame["flow"]).any() for frame in clip]
        assert found == [True] * 5 + [False]
        assert all(np.isfinite(frame["landmarks2d"]).all() for frame in clip)


def planned(seed: int = 0, **keys: Any) -> tuple[Motion, tuple[str, ...]]:
    generator = load_plugins().build("generator", "anny")
    names = generator.head.expression_names
    base = generator.sample(seed, 0).parameters["head"]
    config = MotionConfig(**{"frames": 250, "speech": 1.0, **keys})
    origin = Origin(seed, 0)
    return Motion(config, AnnyDistribution(), origin, base, names, np.array([0.1, 0.0, 1.0]), False), names


@given(seed=st.integers(0, 20), time=st.floats(0, 9.9))
@settings(max_examples=25, deadline=None)
def test_nothing_jumps(seed: int, time: float) -> None:
    """In a millisecond nothing moves farther than a fast saccade, blink or word does."""
    motion, _ = planned(seed)
    now, then = motion.head(time), motion.head(time + 0.001)
    assert np.degrees(np.abs(then["head"] - now["head"]).max()) < 0.06
    assert np.degrees(np.abs(then["gaze"] - now["gaze"]).max()) < 1.2  # 500 to 900 degrees a second at most
    assert np.abs(then["expression"] - now["expression"]).max() < 0.06
    assert all((value >= -1e-6).all() and (value <= 1 + 1e-6).all() for value in (now["expression"],))
    turn, step = (np.subtract(b, a) for a, b in zip(motion.camera(time), motion.camera(time + 0.001), strict=True))
    assert np.degrees(np.abs(turn).max()) < 0.02
    assert np.abs(step).max() < 1e-4


def test_a_blink_closes_the_lids_and_opens_them_again() -> None:
    motion, names = planned(1, blinks=30.0, emotion=0.0)
    lid = names.index("eyeBlinkLeft")
    times = np.arange(0, 10, 0.01)
    shut = np.array([motion.head(float(t))["expression"][lid] for t in times])
    begins = np.flatnonzero((shut[1:] > 0.01) & (shut[:-1] <= 0.01))
    ends = np.flatnonzero((shut[1:] <= 0.01) & (shut[:-1] > 0.01))
    assert 1 <= len(begins) <= 12
    for begin, end in zip(begins, ends, strict=False):
        assert 0.2 < times[end] - times[begin] < 0.4
        assert shut[begin : end + 1].max() > 0.8
    assert (shut < 0.01).mean() > 0.6


def test_eyes_stay_on_what_they_look_at_while_the_head_turns() -> None:
    motion, _ = planned(2, gaze=0.0, blinks=0.0)
    looks = []
    for time in (0.0, 0.7, 1.9, 4.3):
        head = motion.head(time)
        turn = Rotation.from_rotvec(head["neck"]) * Rotation.from_rotvec(head["head"])
        yaw, pitch = head["gaze"].mean(0)
        looks.append(turn.apply([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]))
    assert np.degrees(np.arccos(np.clip(np.array(looks) @ looks[0], -1, 1))).max() < 0.1


def test_a_longer_clip_begins_as_a_shorter_one() -> None:
    short, long = planned(5, frames=30)[0], planned(5, frames=300)[0]
    for time in (0.0, 0.3, 1.1):
        for name, value in short.head(time).items():
            np.testing.assert_array_equal(value, long.head(time)[name])


def test_what_is_switched_off_stays_still() -> None:
    motion, _ = planned(3, head=0.0, gaze=0.0, blinks=0.0, speech=0.0, emotion=0.0, camera=0.0)
    first, later = motion.head(0.0), motion.head(3.0)
    for name, value in first.items():
        np.testing.assert_allclose(value, later[name], atol=1e-6)
    assert not np.any([*motion.camera(3.0)])


@given(seed=st.integers(0, 50), low=st.floats(0.05, 1.0))
@settings(max_examples=20, deadline=None)
def test_noise_has_unit_spread_in_its_band(seed: int, low: float) -> None:
    noise = Noise(np.random.default_rng(seed), 8, low, 4 * low)
    values = np.array([noise.at(t) for t in np.arange(0, 200 / low, 0.37 / low)])
    assert 0.8 < values.std() < 1.2


def test_keys_are_reached_and_held() -> None:
    keys = Keys([0.0, 1.0, 3.0], [1.0, 0.5, 1.0], np.array([0.0, 2.0, -1.0]))
    assert [float(keys.at(t)) for t in (0.0, 0.99, 1.5, 2.9, 4.0, 9.0)] == [0.0, 0.0, 2.0, 2.0, -1.0, -1.0]
    assert float(keys.at(1.25)) == pytest.approx(1.0)
    assert eased(0.5) == pytest.approx(0.5)


def points_of(shown: Surface, pixels: np.ndarray, mesh: Surface) -> np.ndarray:
    """The points of the surface that pixels show, on another frame's mesh; metres."""
    weights = shown.barycentric.reshape(-1, 3)[pixels].astype(float)
    corners = mesh.vertices[shown.faces[shown.face_id.ravel()[pixels]]].astype(float)
    return (corners * (weights / weights.sum(1, keepdims=True))[..., None]).sum(1)


def test_flow_leads_to_the_same_point_of_the_surface() -> None:
    """Exactly: the ray through where it leads meets the next frame's triangle at the same barycentric coordinates. And
    the pixel there shows that point, to within the pixel."""
    flow = load_plugins().build("annotator", "flow")
    first, second, third = frames({"motion": {"frames": 3, "fps": 12, "camera": 2}, "batch_size": 4}, range(3, 6))
    for now, after in ((first, second), (second, third)):
        found = flow.annotate(now)
        pixels = np.flatnonzero(found["flow_visibility"].ravel() == 1)
        assert len(pixels) > 3000
        here = np.stack([pixels % 128, pixels // 128], 1) + 0.5
        there = here + found["flow"].reshape(-1, 2)[pixels]
        assert np.linalg.norm(there - here, axis=1).max() > 0.5
        camera = after.camera
        rays = np.column_stack([there, np.ones(len(there))]) @ np.linalg.inv(camera.intrinsics).T
        rotation, offset = camera.world_to_camera[:3, :3], camera.world_to_camera[:3, 3]
        corners = after.surface.vertices[now.surface.faces[now.surface.face_id.ravel()[pixels]]].astype(float)
        met = np.linalg.solve((corners @ rotation.T + offset).swapaxes(1, 2), rays[..., None])[..., 0]
        weights = now.surface.barycentric.reshape(-1, 3)[pixels]
        assert np.abs(met / met.sum(1, keepdims=True) - weights / weights.sum(1, keepdims=True)).max() < 2e-3
        shown = there.astype(int) @ [1, 128]
        solid = after.surface.face_id.ravel()[shown] >= 0  # at the outline, the pixel there may show what is behind
        assert solid.mean() > 0.98
        back, _ = now.camera.project(points_of(after.surface, shown[solid], now.surface))
        assert np.percentile(np.linalg.norm(back - here[solid], axis=1), 98) < 1
    last = flow.annotate(third)
    assert np.isnan(last["flow"]).all()
    assert not last["flow_visibility"].any()


def test_cloth_and_hands_move_with_the_skin() -> None:
    """What is laid on the skin is laid there once: fitted anew in each frame, scarves jumped by 3 cm."""
    keys = {"scarf": {"present": 1}, "hand": {"present": 1}, "motion": {"frames": 9}, "batch_size": 9}
    places = np.stack([each.surface.vertices for each in frames(keys, range(9), size=32)])
    jumps = np.linalg.norm(np.diff(places, n=2, axis=0), axis=-1).max(0)
    skin = frames(keys, range(1), size=32)[0].surface.head_vertices
    assert jumps[skin:].max() < 1.5 * jumps[:skin].max() + 0.001


def test_flow_carries_the_next_picture_back() -> None:
    film = {"noise": 0, "jpeg": 0, "scale": 1, "blur": 0, "defocus": 0}
    now, after = frames({"motion": {"frames": 2, "fps": 2, "camera": 4}, "film": film}, range(2), seed=5)
    found = load_plugins().build("annotator", "flow").annotate(now)
    seen = found["flow_visibility"] == 1
    rows, columns = np.nonzero(seen)
    goal = np.stack([rows, columns]) + found["flow"][seen].T[::-1]  # pixel centres are whole numbers here
    channels = np.moveaxis(after.image.astype(float), -1, 0)
    warped = np.stack([map_coordinates(channel, goal, order=1, mode="nearest") for channel in channels], -1)
    errors = [np.abs(each - now.image[seen]).mean() for each in (warped, after.image[seen].astype(float))]
    assert errors[0] < 0.6 * errors[1]


def test_stored_flow_is_within_half_a_unit() -> None:
    rng, encoding, item = np.random.default_rng(0), Encoding(), Field("flow", "flow")
    flow = rng.uniform(-510, 510, (6, 7, 2)).astype(np.float32)
    flow[2, 3] = np.nan
    back = CODECS["flow"].decode(CODECS["flow"].encode(flow, item, encoding), item, encoding)
    np.testing.assert_allclose(back, flow, atol=1 / 128)
    with pytest.raises(ValueError, match="up to 511"):
        CODECS["flow"].encode(flow * 2, item, encoding)


def test_flow_needs_a_clip() -> None:
    (portrait,) = frames({}, range(1), size=32)
    with pytest.raises(AnnotationError, match="needs a clip"):
        load_plugins().build("annotator", "flow").annotate(portrait)
    (frame,) = frames({"motion": {"frames": 2}}, range(1), size=32)
    testing.check_plugin(load_plugins(), "annotator", "flow", rendering=frame)


@pytest.mark.parametrize("keys", [{"motion": {"frames": 3}}, {"motion": {"frames": 2}, "rig": {"kind": "stereo"}}])
def test_clips_keep_the_contract(keys: dict[str, Any]) -> None:
    testing.check_plugin(load_plugins(), "generator", {"name": "anny", **keys})


def test_a_rig_in_motion_keeps_its_shape() -> None:
    found = frames({"motion": {"frames": 3, "fps": 5}, "rig": {"kind": "stereo"}}, range(6), size=32)
    cameras = [each.camera for each in found]
    for left, right in zip(cameras[::2], cameras[1::2], strict=True):
        assert np.linalg.norm(right.position - left.position) == pytest.approx(0.065)
        np.testing.assert_allclose(left.world_to_camera[:3, :3], right.world_to_camera[:3, :3], atol=1e-12)
    assert np.linalg.norm(cameras[4].position - cameras[0].position) > 1e-4


def test_an_open_shutter_blurs_what_moves_and_no_label() -> None:
    keys = {"motion": {"frames": 4, "fps": 6, "camera": 6}, "film": {"noise": 0, "jpeg": 0}}
    sharp = frames(keys, range(4), size=96)
    blurred = frames({**keys, "motion": {**keys["motion"], "shutter": 1, "exposures": 4}}, range(4), size=96)
    for a, b in zip(sharp, blurred, strict=True):
        assert np.array_equal(a.surface.z, b.surface.z)
        assert np.array_equal(a.labels["synthforge"], b.labels["synthforge"])
    detail = [
        np.mean([np.abs(np.diff(x.image.astype(float), axis=1)).mean() for x in each]) for each in (sharp, blurred)
    ]
    assert detail[1] < 0.97 * detail[0]


def test_a_clip_becomes_a_video(clips: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    dataset = ShardDataset(clips)
    assert clip_at(dataset, 7) == range(6, 12)
    write_video(dataset, clip_at(dataset, 7), tmp_path / "clip.mp4", columns_of(dataset, ["landmarks2d"]))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == 25
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 6
    write_video(dataset, clip_at(dataset, 7), tmp_path / "plain.mp4", columns_of(dataset, ["image"]))
    with av.open(str(tmp_path / "plain.mp4")) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for number, picture in enumerate(plain):
        assert np.abs(picture.astype(int) - dataset[6 + number]["image"]).mean() < 12
    assert not np.array_equal(pictures[0], plain[0])


def test_cameras_of_a_clip_are_told_exactly(clips: Path) -> None:
    for sample in sf.open_dataset(clips, ["landmarks2d", "landmarks3d", "camera"]):
        camera = Camera(*sample["camera"])
        assert np.abs(camera.project(sample["landmarks3d"])[0] - sample["landmarks2d"]).max() < 0.01


def test_the_same_clip_is_made_by_any_batch() -> None:
    whole = frames(CLIP, range(6), size=48)
    alone = frames(CLIP, range(4, 5), size=48)
    assert hashlib.sha256(whole[4].image).digest() == hashlib.sha256(alone[0].image).digest()
