"""Package mapping: `plugins/` installs as `synthforge_plugins`, `configs/` as `synthforge_configs`, `models/`, where
there is one, as `synthforge_models`.

Everything else about the distribution stands in pyproject.toml.
"""

from pathlib import Path

from setuptools import find_packages, setup

plugins = ["synthforge_plugins"] + [f"synthforge_plugins.{p}" for p in find_packages("plugins")]
folders = {"synthforge_plugins": "plugins", "synthforge_configs": "configs", "synthforge_models": "models"}
folders = {name: folder for name, folder in folders.items() if (Path(__file__).parent / folder).is_dir()}
data = [name for name in folders if name != "synthforge_plugins"]
setup(
    packages=find_packages(include=["synthforge", "synthforge.*"]) + plugins + data,
    package_dir=folders,
)
