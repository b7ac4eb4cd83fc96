"""From light to bytes: lens, sensor, tone curve, JPEG."""
