"""The points of one face by an exported ONNX file: NumPy, onnxruntime and Pillow, no torch.

    python docs/examples/onnx_points.py face.onnx photo.jpg X0 Y0 X1 Y1

The box surrounds the landmarks tightly, brows to chin, in pixels of the upright photograph. One JSON list of x, y.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def cut(image: Image.Image, left: float, top: float, side: float, size: int) -> Image.Image:
    """A square of the photograph at `size` pixels; black outside."""
    reach = int(max(1.0, side / size)) + 2  # what the filter can reach outside of the square
    x, y = int(np.floor(left)) - reach, int(np.floor(top)) - reach
    padded = image.crop((x, y, int(np.ceil(left + side)) + reach, int(np.ceil(top + side)) + reach))
    square = (left - x, top - y, left - x + side, top - y + side)
    return padded.resize((size, size), Image.Resampling.BILINEAR, box=square)


def points(model: str, image: Image.Image, box: list[float]) -> np.ndarray:
    """Points (N,2) in pixels of the photograph, of the face in `box`: x0, y0, x1, y1."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["synthforge"])
    x0, y0, x1, y1 = box
    side = about["crop"]["scale"] * max(x1 - x0, y1 - y0)
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    # a file of several tasks may ask for crops of several sizes
    crops = {given["name"]: cut(image, left, top, side, given["size"]) for given in about["inputs"]}
    feed = {name: np.asarray(crop, np.float32).transpose(2, 0, 1)[None] / 255 for name, crop in crops.items()}
    found = session.run([about["tasks"]["keypoints"]["output"]], feed)[0][0].astype(np.float64)
    return np.array([left, top]) + side * found


if __name__ == "__main__":
    photograph = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
    print(json.dumps(points(sys.argv[1], photograph, [float(value) for value in sys.argv[3:7]]).tolist()))
