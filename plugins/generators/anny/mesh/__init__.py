"""What is seen, as geometry: head, hair, beard, lashes, glasses."""
