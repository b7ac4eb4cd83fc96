"""A script as people write it for dlib. The test changes its first line."""

import json
import sys

import dlib

detector = dlib.get_frontal_face_detector()
predictor = dlib.shape_predictor("shape_predictor_68_face_landmarks.dat")

image = dlib.load_rgb_image(sys.argv[1])
for rect in detector(image, 1):
    shape = predictor(image, rect)
    points = [(shape.part(i).x, shape.part(i).y) for i in range(shape.num_parts)]
    print(json.dumps({"left": shape.rect.left(), "points": points}))
