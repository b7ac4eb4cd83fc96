"""Samples that show one person together: views of a rig, frames of a clip."""
