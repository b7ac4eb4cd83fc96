"""Everyone in a picture: whose each pixel is, and each one's box, landmarks, pose and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.keys import NoKeys
from synthforge.core.records import Field, Rendering

from .box import FaceBoxAnnotator
from .landmarks import LandmarksAnnotator, LandmarksConfig
from .pose import HeadPoseAnnotator

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


class PeopleAnnotator(Annotator):
    """All people of a picture, the nearest first; of a picture of one, that one."""

    def __init__(self, config: NoKeys) -> None:
        self._each = (FaceBoxAnnotator(config), LandmarksAnnotator(LandmarksConfig()), HeadPoseAnnotator(config))
        about = (
            "a list, the nearest first: id in `instances`, depth of the landmarks' middle (camera z, m), face_box and "
            "face_box_amodal, landmarks2d (68 of ibug68), landmark_visibility, head_angles (degrees), pixels"
        )
        self.fields = (
            Field("instances", "label", schema="instances", description="whose each pixel is; 1 is the nearest person"),
            Field("people", "json", "px", "image, pixel centres at i + 0.5", description=about, mark="box"),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        people = rendering.people or (rendering,)
        instances = np.zeros(rendering.image.shape[:2], np.uint8)
        found = []
        for number, person in enumerate(people, 1):
            labels: dict[str, Any] = {}
            for annotator in self._each:
                labels |= annotator.annotate(person)
            assert person.surface is not None  # the annotators asked
            mine = person.surface.face_id >= 0
            instances[mine] = number
            middle = labels["landmarks3d"].astype(float).mean(0)
            entry = {"id": number, "depth": float(rendering.camera.to_camera(middle[None])[0, 2])}
            entry |= {name: labels[name] for name in ("face_box", "face_box_amodal", "head_angles")}
            entry["landmarks2d"] = np.round(labels["landmarks2d"].astype(float), 3).tolist()
            entry["landmark_visibility"] = labels["landmark_visibility"].tolist()
            found.append({**entry, "pixels": int(mine.sum())})
        return {"instances": instances, "people": found}


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `people`."""
    summary = "instance ids, and box, landmarks, pose and depth of everyone in the picture"
    register("people", PeopleAnnotator, config=NoKeys, summary=summary)
