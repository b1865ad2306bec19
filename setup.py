"""The compiled module; everything else about the package is in pyproject.toml."""

import os
from glob import glob

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

# Warnings stop the project's own builds, never a user's build with a newer compiler.
_warnings = ["-Wall", "-Wextra"] + (["-Werror"] if os.environ.get("CLIPGAZE_WERROR") == "1" else [])

setup(
    ext_modules=[
        Pybind11Extension(
            "clipgaze_sdk._core",
            sorted(glob("cpp_ext/src/*.cpp") + glob("cpp_ext/bindings/*.cpp")),
            depends=sorted(glob("cpp_ext/*/*.hpp") + glob("cpp_ext/*/*/*.hpp")),
            include_dirs=["cpp_ext/include", "cpp_ext/src"],
            cxx_std=17,
            # No kernel looks at floating-point exception flags; saying so lets loops be vectorised.
            extra_compile_args=["-O3", "-fno-trapping-math", "-pthread", *_warnings],
            extra_link_args=["-pthread"],
        )
    ]
)
