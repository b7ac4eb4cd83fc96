"""What a face of the scene is made of."""

BODY, LEFT_EYE, RIGHT_EYE, TEETH, TONGUE, LASHES, HAIR, BEARD, FRAME, LENS, WORN, UNUSED = range(12)

#: opaque materials, drawn in the first layer; the rest, which may be thin, are blended over it
SOLID = (BODY, LEFT_EYE, RIGHT_EYE, TEETH, TONGUE, FRAME, WORN)
THIN = (LASHES, HAIR, BEARD, LENS)
