"""Light and colour: surroundings, pigments, white light."""
