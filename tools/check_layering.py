#!/usr/bin/env python3
"""Checks the includes and links of every folder against the order of layers in src/CMakeLists.txt.

Rules, each reported as file:line:
  - src/<layer>/ includes only layers that come before it in the list, itself, and "mdsa/...".
  - Its CMakeLists.txt names only such layers as mdsa_<layer>.
  - include/mdsa/ includes only the standard library and "mdsa/...".
  - Only src/kernels/ includes <immintrin.h>, Highway or another header of intrinsics.
  - apps/ includes the public headers, its own, and the layers in APP_LAYERS; examples/ the public ones only.
  - A *_test.cc, and what is in bench/, may also include "support/..." of tests/.
  - "..." includes are written from src/ or include/ and name a file that exists.

usage: check_layering.py [ROOT]        exit code 1 if there is anything to report
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
INTRINSICS = re.compile(r"^(\w*mmintrin\.h|x86intrin\.h|arm_neon\.h|arm_sve\.h|hwy/.*)$")
# A spin loop's pause instruction; everything else with intrinsics lives in src/kernels.
INTRINSICS_ALLOWED = {("src/base/thread_pool.cc", "immintrin.h")}
# `inspect` looks into a checkpoint; base is the shorthand for errors.
APP_LAYERS = {"base", "formats", "models"}
SUFFIXES = {".h", ".cc", ".inc"}
# A header of the standard library has no suffix; these are the C ones that it keeps.
STANDARD_C = {"stddef.h", "stdint.h"}


def layer_order(root):
    """The layers, lowest first, from the add_subdirectory lines."""
    text = re.sub(r"#.*", "", (root / "src/CMakeLists.txt").read_text())
    return re.findall(r"add_subdirectory\s*\(\s*(\w+)\s*\)", text)


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES) if folder.is_dir() else []


class Checker:
    def __init__(self, root):
        self.root = root
        self.order = layer_order(root)
        self.problems = []

    def report(self, path, line, what):
        self.problems.append(f"{path.relative_to(self.root)}:{line}: {what}")

    def check_intrinsics(self, path, line, angled):
        name = str(path.relative_to(self.root))
        if not INTRINSICS.match(angled) or name.startswith("src/kernels/"):
            return
        if (name, angled) not in INTRINSICS_ALLOWED:
            self.report(path, line, f"<{angled}> belongs into src/kernels/ only")

    def check_rooted(self, path, line, quoted, extra_root=None):
        roots = [self.root / "src", self.root / "include"] + ([extra_root] if extra_root else [])
        if ".." in quoted.split("/") or not any((r / quoted).is_file() for r in roots):
            self.report(path, line, f'"{quoted}" is no file under src/ or include/')

    def check_layer(self, layer):
        rank = self.order.index(layer)
        later = set(self.order[rank + 1:])
        for path in sources(self.root / "src" / layer):
            for line, quoted, angled in includes(path):
                if angled is not None:
                    self.check_intrinsics(path, line, angled)
                    continue
                target = quoted.split("/")[0]
                if target == "support" and path.name.endswith("_test.cc"):
                    self.check_rooted(path, line, quoted, self.root / "tests")
                    continue
                self.check_rooted(path, line, quoted)
                if target in later:
                    self.report(path, line, f'src/{layer} may not include "{quoted}": {target} comes later in src/CMakeLists.txt')
                elif target != "mdsa" and target not in self.order:
                    self.report(path, line, f'"{quoted}" is in no layer of src/CMakeLists.txt')
        self.check_cmake(layer, later)

    def check_cmake(self, layer, later):
        path = self.root / "src" / layer / "CMakeLists.txt"
        if not path.is_file():
            return
        for line, text in enumerate(path.read_text().splitlines(), 1):
            for target in re.findall(r"\bmdsa_(\w+)", text.split("#")[0]):
                if target in later:
                    self.report(path, line, f"src/{layer} may not link mdsa_{target}: it comes later in src/CMakeLists.txt")

    def check_public(self):
        for path in sources(self.root / "include"):
            for line, quoted, angled in includes(path):
                if quoted is not None and not quoted.startswith("mdsa/"):
                    self.report(path, line, f'a public header may not include "{quoted}"')
                if quoted is not None:
                    self.check_rooted(path, line, quoted)
                if angled is not None and ("." in angled or "/" in angled) and angled not in STANDARD_C:
                    self.report(path, line, f"a public header may not include <{angled}>")

    def check_outside(self, folder, layers, extra_root=None):
        for path in sources(self.root / folder):
            for line, quoted, angled in includes(path):
                if angled is not None:
                    self.check_intrinsics(path, line, angled)
                    continue
                if (path.parent / quoted).is_file():
                    continue
                self.check_rooted(path, line, quoted, extra_root)
                target = quoted.split("/")[0]
                if target != "mdsa" and target not in layers:
                    self.report(path, line, f'{folder}/ may not include "{quoted}"')

    def run(self):
        for folder in sorted(p for p in (self.root / "src").iterdir() if p.is_dir()):
            if folder.name in self.order:
                self.check_layer(folder.name)
            elif sources(folder):
                self.report(folder, 1, "is in no layer of src/CMakeLists.txt")
        self.check_public()
        self.check_outside("apps", APP_LAYERS)
        self.check_outside("examples", set())
        # The Python module binds codecs and kernels for tests against other implementations; fuzzers and benchmarks
        # look inside by their nature.
        for folder in ("python/native", "fuzz"):
            self.check_outside(folder, set(self.order))
        self.check_outside("bench", {*self.order, "support"}, self.root / "tests")
        return self.problems


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent).resolve()
    problems = Checker(root).run()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
