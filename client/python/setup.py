"""Builds libembmon.so, embmond and embmonctl through the repository's Makefile and puts them into
the package, in embmon/carried. All else is in pyproject.toml."""

import os
import pathlib
import platform
import re
import shutil
import subprocess

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.errors import SetupError

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "include" / "embmon" / "embmon.h"
OUT = ROOT / "build" / "python"  # of setuptools; the C build has its own folder beside it
PORTABLE = ROOT / "build" / "portable"
CARRIED = ("libembmon.so", "embmond", "embmonctl")

# What the C build needs, by the Debian package that has it.
PROGRAMS = {"make": "make", "cc": "gcc", "protoc-c": "protobuf-c-compiler"}
HEADERS = {"stdio.h": "libc6-dev", "uv.h": "libuv1-dev", "protobuf-c/protobuf-c.h":
           "libprotobuf-c-dev", "zlib.h": "zlib1g-dev", "jansson.h": "libjansson-dev",
           "yaml.h": "libyaml-dev", "uthash.h": "uthash-dev"}


def version() -> str:
    """The one in embmon.h."""
    if not HEADER.is_file():
        raise SetupError(f"{HEADER} is not there: this package is built from a checkout of the "
                         "whole repository, by `pip install ./client/python`")
    return re.search(r'EMBMON_VERSION "(.*)"', HEADER.read_text()).group(1)


def missing() -> list[str]:
    """Debian packages to install first."""
    packages = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if "gcc" in packages:
        return packages + list(HEADERS.values())
    for header, package in HEADERS.items():
        done = subprocess.run(["cc", "-fsyntax-only", "-x", "c", "-"], text=True,
                              input=f"#include <stdio.h>\n#include <{header}>\n",
                              capture_output=True, check=False)
        if done.returncode:
            packages.append(package)
    return packages


class BuildWithLibrary(build_py):
    """Adds what the Makefile builds. An editable install adds nothing: there the package finds
    the repository's own build folder."""

    def run(self) -> None:
        if not self.editable_mode:  # what an earlier build left is not of this version
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if self.editable_mode:
            return
        if packages := missing():
            raise SetupError("the C library cannot be built here, these Debian packages are "
                             f"missing: apt-get install {' '.join(packages)}")
        # Flags of an outer make are not for this one.
        environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
        jobs = f"-j{len(os.sched_getaffinity(0))}"
        try:
            subprocess.run(["make", "-s", jobs, "-C", ROOT, "PORTABLE=1", "carried"], check=True,
                           env=environment)
        except subprocess.CalledProcessError as error:
            raise SetupError(f"make ended with status {error.returncode}; its output is above "
                             "(pip shows it with -v)") from None
        for path in self._carried():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PORTABLE / path.name, path)

    def _carried(self) -> list[pathlib.Path]:
        return [pathlib.Path(self.build_lib, "embmon", "carried", name) for name in CARRIED]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return super().get_outputs(include_bytecode) + [str(path) for path in self._carried()]


class PlatformWheel(bdist_wheel):
    """One wheel for every Python 3: the library is loaded by ctypes. It needs the C library it
    was built with, or a later one, and nothing else; the platform tag says just that."""

    def get_tag(self) -> tuple[str, str, str]:
        libc, number = platform.libc_ver()
        if libc != "glibc":
            return "py3", "none", super().get_tag()[2]
        return "py3", "none", f"manylinux_{number.replace('.', '_')}_{platform.machine()}"


class BinaryDistribution(Distribution):
    """Goes to platlib."""

    def has_ext_modules(self) -> bool:
        return True


OUT.mkdir(parents=True, exist_ok=True)
setup(
    version=version(),
    distclass=BinaryDistribution,
    cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel},
    # Nothing is left in the source tree.
    options={"build": {"build_base": str(OUT)}, "egg_info": {"egg_base": str(OUT)},
             "bdist_wheel": {"bdist_dir": str(OUT / "wheel")}},
)
