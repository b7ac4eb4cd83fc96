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
    face = sf.load_model("face", tasks=["keypoints"])(photograph)[0]
    nose = face.points_as("mediapipe478")[1] / 384
    np.testing.assert_allclose(np.array(found[0]["nose"])[:2], nose, atol=1e-4)
    assert found[0]["nose"][2] < -0.02, "the tip of the nose is nearer than the middle of the head"
    lids = face.points
    assert lids is not None
    wide = np.linalg.norm(lids[37] - lids[41]) / np.linalg.norm(lids[36] - lids[39])
    assert abs(found[0]["open"][0] - wide) < 0.15


def test_what_is_not_answered_is_an_error() -> None:
    from synthforge.compat import mediapipe as mp

    options = mp.tasks.vision.FaceLandmarkerOptions(output_face_blendshapes=True)
    with pytest.raises(UserError, match="no blend shapes"):
        mp.tasks.vision.FaceLandmarker.create_from_options(options)
    with pytest.raises(UserError, match="uint8"):
        mp.Image(mp.ImageFormat.SRGB, np.zeros((4, 4), np.uint8))
