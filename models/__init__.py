"""Trained models that come with the installation; `synthforge predict NAME` finds them here."""
