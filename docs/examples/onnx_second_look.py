"""The points of one face, eyes and mouth looked at again: NumPy, onnxruntime and Pillow, no torch.

python docs/examples/onnx_second_look.py face.onnx looks.onnx photo.jpg X0 Y0 X1 Y1
"""

import json
import sys

import numpy as np
import onnxruntime
from onnx_points import cut, points
from PIL import Image, ImageOps


def again(model: str, image: Image.Image, first: np.ndarray) -> np.ndarray:
    """Points (N,2) in pixels of the photograph, from those of the first look."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["synthforge"])
    feed, places, found = {}, [], first.copy()
    for look in about["second_look"]:
        size, patches = look["size"], []
        dx, dy = np.subtract(*first[look["corners"][::-1]])
        c, s = np.array([dx, dy]) / np.hypot(dx, dy)
        for part in look["parts"]:
            sign = -1.0 if part["mirrored"] else 1.0
            turn = np.array([[sign * c, -s], [sign * s, c]])  # from the patch's axes to the photograph's
            centre, side = first[part["points"]].mean(0), part["side"] * float(np.ptp(first, axis=0).max())
            room = round(size * about["patch"]["room"])
            around = cut(image, *(centre - side * room / size / 2), side * room / size, room)
            shift = room / 2 - turn @ [size / 2, size / 2]
            affine = np.column_stack([turn, shift]).ravel()
            patch = around.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
            patches.append((np.asarray(patch, np.float32).transpose(2, 0, 1) + 0.5) / 255)  # Pillow rounds down here
            places.append((part["points"], look["share"], centre, turn * side))
        feed[look["input"]] = np.stack(patches)
        if "directions" in look:  # where eyes look, which is not asked for here
            feed[look["directions"]["first"]] = np.zeros((len(patches), 3, 3), np.float32)
    answers = session.run([look["output"] for look in about["second_look"]], feed)
    every = (answer for patches in answers for answer in patches)
    for (part, share, centre, axes), answer in zip(places, every, strict=True):
        found[part] += share * (centre + (answer - 0.5) @ axes.T - first[part])
    return found


if __name__ == "__main__":
    photograph = ImageOps.exif_transpose(Image.open(sys.argv[3])).convert("RGB")
    start = points(sys.argv[1], photograph, [float(value) for value in sys.argv[4:8]])
    print(json.dumps(again(sys.argv[2], photograph, start).tolist()))
