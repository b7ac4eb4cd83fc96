"""Records that plugins exchange: scenes, renderings, field descriptions and real samples.

Frames and units, everywhere. World: right-handed, y up, metres; the head faces +z and the subject's left is +x. Camera:
OpenCV axes (x right, y down, z forward). Pixels: centres at i + 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .camera import Camera

if TYPE_CHECKING:
    from .interfaces import HeadModel
    from .nearby import Origin

#: how values without a picture of their own are drawn: arrows of `directions` in the camera frame, from the `points3d`
#: beside them; the columns of a rotation (3,3) as axes; boxes [x0, y0, x1, y1] at any depth of a value; ellipses
#: {"centre": [x, y], "axes": [major, minor]} likewise, with angles in degrees beside them in the same form. Pixels.
MARKS = ("arrows", "axes", "box", "ellipses")

FieldKind = Literal[
    "image", "label", "depth", "normals", "uv", "flow", "matte", "points2d", "points3d", "directions", "flags", "json"
]


@dataclass(frozen=True)
class Field:
    """One annotation of a dataset: its name, how it is stored and what its numbers mean.

    kind: `image` (H,W,3) uint8; `label` (H,W) uint8 class ids of `schema`; `depth` (H,W) float32 metres, 0 where
    there is none; `normals` (H,W,3) float32 unit vectors, 0 where there is none; `uv` (H,W,2) float32 texture
    coordinates in [0,1], v upwards, (0, 0) where there is none; `flow` (H,W,2) float32 pixels, NaN where there is
    none; `matte` (H,W) float32 opacity in [0,1]; `points2d` (N,2) and `points3d` (N,3) float32; `directions` (N,3)
    float32 unit vectors; `flags` (N,) bool; `json` anything JSON can hold.

    mark: how `synthforge show` draws it over the picture, one of `MARKS`. beside: names of the fields that this
    needs, with commas between them.
    """

    name: str
    kind: FieldKind
    unit: str = ""
    frame: str = ""
    schema: str = ""
    description: str = ""
    mark: str = ""
    beside: str = ""

    def to_json(self) -> dict[str, str]:
        """As markers and manifests hold it; without the empty parts that earlier releases do not know."""
        return {name: text for name, text in vars(self).items() if text or name not in ("mark", "beside")}


@dataclass(frozen=True)
class Members:
    """Samples that show one scene together: `views` cameras at each of `frames` moments, `fps` of them a second.

    Sample `index` is member index % count of the group index // count; member = frame * views + view. A generator's
    configuration that has a property `members` says so; every sample then holds the fields of `MEMBER_FIELDS`.
    """

    views: int = 1
    frames: int = 1
    fps: float = 0.0

    @property
    def count(self) -> int:
        """Samples of one group."""
        return self.views * self.frames


MEMBER_FIELDS = (
    Field("group", "json", description="number of the scene: samples of one group show the same one"),
    Field("member", "json", description="which sample of its group: frame * views + view"),
)


@dataclass(frozen=True)
class Scene:
    """Everything a rendering depends on, drawn from (seed, index) alone.

    `parameters` holds the generator's own numbers (arrays, numbers, strings or nested mappings of these); they are
    stored with the sample, so that any factor can be studied afterwards. drawn: the values of the declared factors
    (`core.factors`) from which the parameters are derived; rendered: the values that the picture shows if they differ,
    by the same names, None if not shown; both are stored as well. origin: None, or the ancestors of a scene drawn near
    another (`OriginGenerator.sample_from`).
    """

    seed: int
    index: int
    parameters: Mapping[str, Any]
    drawn: Mapping[str, Any] = field(default_factory=dict)
    rendered: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None


@dataclass
class Surface:
    """The meshes of a rendering and which of their points each pixel shows.

    - vertices (V,3) float32 world metres, normals (V,3) float32 unit vectors: the head's own vertices first;
    - faces (F,3) int32: triangles, counter-clockwise seen from outside, the head's own first;
    - face_id (H,W) int32: index of the triangle, -1 where there is none;
    - barycentric (H,W,3) float32, perspective-correct;
    - z (H,W) float32: camera z in metres, 0 where there is none.
    """

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    face_id: np.ndarray
    barycentric: np.ndarray
    z: np.ndarray
    head_vertices: int
    head_faces: int


@dataclass(frozen=True)
class Eyes:
    """Both eyeballs, the subject's left one first.

    centre (2,3) world metres. gaze (2,3): unit vectors along the optical axes, in the world. iris, pupil: None, or
    circles about the axis as (2,2) metres: how far before the centre, and the radius.
    """

    centre: np.ndarray
    gaze: np.ndarray
    iris: np.ndarray | None = None
    pupil: np.ndarray | None = None


@dataclass(frozen=True)
class Known:
    """What a generator knows of the person in a rendering besides the mesh; None if unknown.

    - head_rotation (3,3): directions of the head (x to the subject's left, y up, z out of the face) to the world's;
    - arkit: facial actions in [0,1] by ARKit's names;
    - person: `age_years`, `gender` (0 male to 1 female), `ancestry` (shares by name, sum 1) and `melanin` (how strongly
      it absorbs red light, as a natural logarithm).
    """

    head_rotation: np.ndarray | None = None
    eyes: Eyes | None = None
    arkit: Mapping[str, float] | None = None
    person: Mapping[str, Any] | None = None


#: what mattes are of
MATTES = ("hair", "beard", "glasses")


@dataclass(frozen=True)
class Layers:
    """What a picture is blended from, without light and film.

    albedo (H,W,3) float32 in [0,1], linear: the share of diffuse light that is given back; 0 where nothing is. mattes:
    (H,W) float32 in [0,1] by the names of `MATTES`, how much each covers of what is behind it. paint: a function that
    gives albedo and opacity (N,4) at barycentric coordinates (N,3) float32 of triangles (N,) int32 of the surface.
    """

    albedo: np.ndarray
    mattes: Mapping[str, np.ndarray]
    paint: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Rendering:
    """An image with the geometry that made it. Annotators read the labels off this and nothing else.

    image (H,W,3) uint8 sRGB. head: the parametric model the landmarks and regions are defined on, or None.
    surface: the meshes, or None for a generator without any. labels: class-id maps (H,W) uint8 by schema name, where
    the generator knows the class of a pixel better than the mesh does (hair, brows, glasses). depth: (H,W) float32
    camera z in metres from a volume, 0 where there is none. points: by the name of their point schema, (N,3) world
    metres, where the generator knows them itself. known: what it knows of the person. stored: finished annotations,
    for generators that replay an existing dataset. following: of a clip's frame, a function that gives the next one of
    the same camera, None after the last. layers: a function that gives what the picture is blended from.
    people: of a picture of several, each as a rendering with that person's mesh and what is seen of it, the nearest
    first. `known` and the first vertices of `surface` are those of the person with the largest face.
    The layers of each are those without the others.
    """

    scene: Scene
    camera: Camera
    image: np.ndarray
    head: HeadModel | None = None
    surface: Surface | None = None
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    depth: np.ndarray | None = None
    points: dict[str, np.ndarray] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    stored: dict[str, Any] = field(default_factory=dict)
    following: Callable[[], Rendering | None] | None = None
    layers: Callable[[], Layers] | None = None
    people: tuple[Rendering, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A filter's decision on a sample.

    reason: why it is rejected, the same text for the same cause, so that reasons can be counted. figures: the numbers
    it is based on, finite, by name with the unit in the name where there is one (`distance_px_at_512`).
    """

    accepted: bool
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RealItem:
    """One face of a benchmark, before it is read: a key that is unique in its benchmark, and the paths of its files."""

    key: str
    image: Path
    annotation: Path
    subset: str = ""


@dataclass
class RealSample:
    """One annotated photograph of a benchmark.

    - image: (H,W,3) uint8 sRGB;
    - box: (x0, y0, x1, y1) in pixels of the image, the face box that the crop protocol starts from;
    - target: points (N,2) float64 in pixels (centres at i + 0.5), a label map (H,W) uint8, depth (H,W) float32, or
      another value of the benchmark's task;
    - mask: (H,W) bool, where a label counts, or None for everywhere.
    """

    item: RealItem
    image: np.ndarray
    box: tuple[float, float, float, float]
    target: np.ndarray
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table: method, its source and the numbers by metric name (`common/nme`, `f1/nose` ...).

    split: the split it was measured on; empty if the metrics' names contain it.
    """

    method: str
    source: str
    values: Mapping[str, float]
    split: str = ""


@dataclass(frozen=True)
class FaceError:
    """What the error of one face (`Scores.per_item`) is called, its unit, and the upper end of its cumulative
    distribution in reports; 0: where 98 % of the faces are below."""

    name: str
    unit: str = ""
    limit: float = 0.0

    @property
    def title(self) -> str:
        """The name with the unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name


@dataclass(frozen=True)
class Metric:
    """How reports name a figure: its name, whether larger is better, and the unit of what follows `@` in its key.

    each: what the key names after the figure, `class` for `f1/nose`. over: for a mean, what it runs over; the key then
    says how many or which, `mean_f1/10`. Reports name the set with the mean, so that different sets are not confused.
    """

    name: str
    higher_is_better: bool
    threshold: str = " %"
    each: str = ""
    over: str = ""


@dataclass(frozen=True)
class Scores:
    """Figures of one model on one split.

    values: by metric name (`nme`, `auc@8`, `f1/nose` ...); units: `%`, `m`, `` ... by the same names; per_item:
    one error per face by its key, lower is better, for picking best, median and worst cases; primary: the metric
    that ranks models. metrics: how reports name figures, by the part of the key before `@` and between `/`; those of
    `evaluation.scoring` are known.
    """

    values: Mapping[str, float]
    units: Mapping[str, str]
    per_item: Mapping[str, float]
    primary: str
    metrics: Mapping[str, Metric] = field(default_factory=dict)
