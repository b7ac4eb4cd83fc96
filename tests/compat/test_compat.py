"""Scripts written for dlib and MediaPipe give our model's answers after a change of one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import synthforge as sf
from synthforge.core.errors import UserError
from synthforge.core.shipped import find_model

HERE = Path(__file__).parent
pytest.importorskip("dlib", reason="the face detector dlib is not installed")


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered face that dlib finds."""
    path = tmp_path_factory.mktemp("compat") / "face.png"
    Image.fromarray(sf.sample("anny", seed=11, index=3, resolution=384).image).save(path)
    return path


def run(script: str, old: str, new: str, photograph: Path, folder: Path) -> list[dict[str, object]]:
    """What a script prints after `old` became `new` in one line of it."""
    lines = (HERE / script).read_text().splitlines()
    assert lines.count(old) == 1
    (folder / script).write_text("\n".join(new if line == old else line for line in lines) + "\n")
    made = subprocess.run([sys.executable, folder / script, photograph], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in made.stdout.splitlines()]


def test_a_script_for_dlib(photograph: Path, tmp_path: Path) -> None:
    found = run("landmarks_by_dlib.py", "import dlib", "import synthforge.compat.dlib as dlib", photograph, tmp_path)
    assert len(found) == 1
    ours = sf.load_model("face", tasks=["keypoints"], detector="dlib")(photograph)[0].points
    assert ours is not None
    assert np.abs(np.array(found[0]["points"]) + 0.5 - ours).max() < 6, "the detector works at another scale there"


def test_a_script_for_mediapipe(photograph: Path, tmp_path: Path) -> None:
    new = "import synthforge.compat.mediapipe as mp"
    found = run("blink_by_mediapipe.py", "import mediapipe as mp", new, photograph, tmp_path)
    assert [each["count"] for each in found] == [478]
    face = sf.load_model("face", tasks=["keypoints", "mesh"])(photograph)[0]
    np.testing.assert_allclose(np.array(found[0]["nose"])[:2], face.points_as("mediapipe478")[1] / 384, atol=1e-4)
    near = np.linalg.norm(face.values["mesh"][1, :2] / 384 - np.array(found[0]["nose"])[:2])
    assert near < 0.03, "the model's own mesh says the same"
    assert found[0]["nose"][2] < -0.02, "the tip of the nose is nearer than the middle of the face"
    lids = face.points
    assert lids is not None
    wide = np.linalg.norm(lids[37] - lids[41]) / np.linalg.norm(lids[36] - lids[39])
    assert abs(found[0]["open"][0] - wide) < 0.15


def test_blend_shapes_are_in_mediapipes_order(photograph: Path) -> None:
    from synthforge.compat import mediapipe as mp

    options = mp.tasks.vision.FaceLandmarkerOptions(output_face_blendshapes=True)
    with mp.tasks.vision.FaceLandmarker.create_from_options(options) as landmarker:
        result = landmarker.detect(mp.Image.create_from_file(str(photograph)))
    (shapes,), (points,) = result.face_blendshapes, result.face_landmarks
    assert (len(shapes), len(points)) == (52, 478)
    assert [shapes[i].category_name for i in (0, 1, 25, 51)] == [
        "_neutral",
        "browDownLeft",
        "jawOpen",
        "noseSneerRight",
    ]
    assert all(0 <= each.score <= 1 and each.index == i for i, each in enumerate(shapes))
    wanted = sf.load_model("face", tasks=["arkit"])(photograph)[0].to_json()["arkit"]["values"]["jawOpen"]
    assert shapes[25].score == pytest.approx(min(max(wanted, 0), 1), abs=1e-5)
    assert all(0 <= (point.visibility or 0) <= 1 for point in points)


def test_a_model_without_a_mesh_fits_a_head(photograph: Path, tmp_path: Path) -> None:
    from synthforge.compat import mediapipe as mp
    from synthforge.learning.model import FaceModel, load_model

    whole = load_model(find_model("face"))
    tasks = {"keypoints": whole.tasks["keypoints"]}
    small = FaceModel(whole.network, tasks, whole.references, info={"crop_scale": whole.crop_scale})
    small.load_state_dict(whole.state_dict(), strict=False)
    small.save(tmp_path)
    result = mp.tasks.vision.FaceLandmarker.create_from_model_path(str(tmp_path)).detect(
        mp.Image.create_from_file(str(photograph))
    )
    wanted = sf.load_model(tmp_path)(photograph)[0].points_as("mediapipe478") / 384
    found = [(point.x, point.y) for point in result.face_landmarks[0]]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    options = mp.tasks.vision.FaceLandmarkerOptions(
        mp.tasks.BaseOptions(model_asset_path=str(tmp_path)), output_face_blendshapes=True
    )
    with pytest.raises(UserError, match="lacks the task arkit"):
        mp.tasks.vision.FaceLandmarker.create_from_options(options)


def test_what_is_not_answered_is_an_error() -> None:
    from synthforge.compat import mediapipe as mp

    options = mp.tasks.vision.FaceLandmarkerOptions(output_facial_transformation_matrixes=True)
    with pytest.raises(UserError, match="no matrices"):
        mp.tasks.vision.FaceLandmarker.create_from_options(options)
    with pytest.raises(UserError, match="uint8"):
        mp.Image(mp.ImageFormat.SRGB, np.zeros((4, 4), np.uint8))
