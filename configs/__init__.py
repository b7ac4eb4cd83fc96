"""Pipelines in YAML, readable from an installed wheel through `importlib.resources`."""
