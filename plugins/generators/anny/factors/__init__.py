"""What is drawn: every factor of a picture, its distribution, unit, range and source."""
