"""How the head is turned before the camera, and where its eyes look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.keys import NoKeys
from synthforge.core.records import Eyes, Field, Rendering

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

CAMERA = "camera (x right, y down, z forward)"
SIDES = ("left", "right")


class HeadPoseAnnotator(Annotator):
    """The head's rotation, of neck and head together, in the camera frame. A head that faces the camera upright has
    rows (1, 0, 0), (0, -1, 0), (0, 0, -1) and angles of 0."""

    def __init__(self, config: NoKeys) -> None:
        about = "rows of the rotation from the head's axes (x to its left, y up, z out of the face) to the camera's"
        angles = "yaw to image right, pitch up, roll clockwise in the image; 0 facing along the camera's axis"
        self.fields = (
            Field("head_pose", "directions", frame=CAMERA, description=about, mark="axes"),
            Field("head_angles", "json", "degrees", CAMERA, description=angles),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        from synthforge.evaluation.pose import angles

        turned = rendering.known.head_rotation
        if turned is None:
            raise unknown("head-pose", "how the head is turned")
        rotation = rendering.camera.world_to_camera[:3, :3] @ turned
        return {"head_pose": rotation.astype(np.float32), "head_angles": angles(rotation[:, 0], rotation[:, 2])}


class GazeAnnotator(Annotator):
    """Where each eye looks, along its optical axis, in the camera frame, and where its centre is."""

    def __init__(self, config: NoKeys) -> None:
        about = "unit vectors of the subject's left and right eye"
        angles = "yaw to image right and pitch up by eye (left, right); 0 looking back along the camera's axis"
        self.fields = (
            Field("gaze", "directions", frame=CAMERA, description=about, mark="arrows", beside="eye_centres"),
            Field("eye_centres", "points3d", "m", CAMERA, description="centres of the left and the right eyeball"),
            Field("gaze_angles", "json", "degrees", CAMERA, description=angles),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        eyes = eyes_of(rendering, "gaze")
        gaze = eyes.gaze @ rendering.camera.world_to_camera[:3, :3].T
        x, y, z = gaze.T
        yaw, pitch = np.degrees(np.arctan2(x, -z)), np.degrees(np.arcsin(np.clip(-y, -1, 1)))
        angles = {side: {"yaw": float(yaw[i]), "pitch": float(pitch[i])} for i, side in enumerate(SIDES)}
        centres = rendering.camera.to_camera(eyes.centre).astype(np.float32)
        return {"gaze": gaze.astype(np.float32), "eye_centres": centres, "gaze_angles": angles}


def eyes_of(rendering: Rendering, name: str) -> Eyes:
    """The eyes of a rendering. Raises AnnotationError where its generator does not know them."""
    if rendering.known.eyes is None:
        raise unknown(name, "the eyeballs")
    return rendering.known.eyes


def unknown(name: str, what: str) -> AnnotationError:
    """The error of the annotator `name`, which needs to know `what`."""
    return AnnotationError(
        f"{name} needs to know {what}; the generator of this rendering does not (`Rendering.known`)",
        hint=f"Leave the annotator '{name}' out, or choose a generator that knows it, such as anny.",
    )


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotators `head-pose` and `gaze`."""
    summary = "rotation of the head in the camera frame, with yaw, pitch and roll in degrees"
    register("head-pose", HeadPoseAnnotator, config=NoKeys, summary=summary)
    summary = "unit gaze vector of each eye in the camera frame, with its angles and the eye's centre"
    register("gaze", GazeAnnotator, config=NoKeys, summary=summary)
