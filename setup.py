"""Package mapping: `plugins/` installs as `synthforge_plugins`, `configs/` as `synthforge_configs`.

Everything else about the distribution stands in pyproject.toml.
"""

from setuptools import find_packages, setup

plugins = ["synthforge_plugins"] + [f"synthforge_plugins.{p}" for p in find_packages("plugins")]
setup(
    packages=find_packages(include=["synthforge", "synthforge.*"]) + plugins + ["synthforge_configs"],
    package_dir={"synthforge_plugins": "plugins", "synthforge_configs": "configs"},
)
