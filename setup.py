"""Maps the top-level folders into the one ``codesign`` package (everything else: pyproject.toml)."""

from setuptools import find_packages, setup

FOLDERS = ("profilers", "costmodels", "search", "targets")

package_dir = {"codesign": "codesign", **{f"codesign.{name}": name for name in FOLDERS}}
packages = ["codesign", *(f"codesign.{sub}" for sub in find_packages("codesign") if sub.split(".")[0] not in FOLDERS)]
for name in FOLDERS:
    packages += [f"codesign.{name}", *(f"codesign.{name}.{sub}" for sub in find_packages(name))]

setup(packages=packages, package_dir=package_dir)
