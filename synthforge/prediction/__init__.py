"""A trained model on photographs: face boxes, crops, pictures and files of what was found."""
