"""Every rule of check_layering.py, broken once in a small tree."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_layering  # noqa: E402


class LayeringTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name).resolve()
        self.write("src/CMakeLists.txt", "add_subdirectory(base)\nadd_subdirectory(io)\nadd_subdirectory(kernels)\nadd_subdirectory(models)\n")
        self.write("src/base/error.h", "#include <string>\n#include \"mdsa/result.h\"\n")
        self.write("src/io/file.h", '#include "base/error.h"\n')
        self.write("src/kernels/dot.cc", "#include <immintrin.h>\n#include <hwy/highway.h>\n")
        self.write("src/models/loader.h", '#include "io/file.h"\n')
        self.write("include/mdsa/result.h", "#include <expected>\n")
        self.write("apps/mdsa/main.cc", '#include "mdsa/result.h"\n#include "models/loader.h"\n')

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def problems(self):
        return check_layering.Checker(self.root).run()

    def assert_reports(self, where, what):
        problems = self.problems()
        self.assertEqual(len(problems), 1, problems)
        self.assertTrue(problems[0].startswith(where + ": "), problems)
        self.assertIn(what, problems[0])

    def test_clean_tree(self):
        self.assertEqual(self.problems(), [])

    def test_order_from_add_subdirectory(self):
        self.write("src/CMakeLists.txt", "add_subdirectory(base)\nadd_subdirectory(io)\n")
        self.assertEqual(check_layering.layer_order(self.root), ["base", "io"])

    def test_upward_include(self):
        self.write("src/base/pool.cc", '#include "base/error.h"\n\n  #  include "models/loader.h"\n')
        self.assert_reports("src/base/pool.cc:3", "models comes later")

    def test_upward_link(self):
        self.write("src/io/CMakeLists.txt", "mdsa_layer(io\n  DEPENDS mdsa_base mdsa_models)\n")
        self.assert_reports("src/io/CMakeLists.txt:2", "mdsa_models")

    def test_intrinsics_outside_kernels(self):
        self.write("src/models/fast.cc", "#include <immintrin.h>\n")
        self.assert_reports("src/models/fast.cc:1", "src/kernels/")

    def test_highway_outside_kernels(self):
        self.write("src/models/fast.cc", "#include <hwy/highway.h>\n")
        self.assert_reports("src/models/fast.cc:1", "src/kernels/")

    def test_pause_of_the_thread_pool(self):
        self.write("src/base/thread_pool.cc", "#include <immintrin.h>\n")
        self.assertEqual(self.problems(), [])

    def test_public_header_with_a_library(self):
        self.write("include/mdsa/model.h", "#include <fmt/format.h>\n")
        self.assert_reports("include/mdsa/model.h:1", "<fmt/format.h>")

    def test_public_header_with_an_internal_one(self):
        self.write("include/mdsa/model.h", '#include "base/error.h"\n')
        self.assert_reports("include/mdsa/model.h:1", "base/error.h")

    def test_include_that_is_not_rooted(self):
        self.write("src/io/map.cc", '#include "file.h"\n')
        self.assertIn("src/io/map.cc:1", self.problems()[0])

    def test_support_is_for_tests_only(self):
        self.write("tests/support/fake.h", "\n")
        self.write("src/io/file_test.cc", '#include "support/fake.h"\n')
        self.assertEqual(self.problems(), [])
        self.write("src/io/file.cc", '#include "support/fake.h"\n')
        self.assertTrue(all(p.startswith("src/io/file.cc:1") for p in self.problems()))
        self.assertTrue(self.problems())

    def test_support_is_for_benchmarks_but_no_fuzzer(self):
        self.write("tests/support/fake.h", "\n")
        self.write("bench/file_bench.cc", '#include "support/fake.h"\n')
        self.assertEqual(self.problems(), [])
        self.write("fuzz/file_fuzz.cc", '#include "support/fake.h"\n')
        self.assertTrue(all(p.startswith("fuzz/file_fuzz.cc:1") for p in self.problems()))
        self.assertTrue(self.problems())

    def test_folder_outside_the_list(self):
        self.write("src/extra/x.h", "\n")
        self.assert_reports("src/extra:1", "no layer")

    def test_application_that_reaches_inside(self):
        self.write("apps/mdsa/x.cc", '#include "io/file.h"\n')
        self.assert_reports("apps/mdsa/x.cc:1", "io/file.h")

    def test_example_that_reaches_inside(self):
        self.write("examples/assistant/main.cc", '#include "base/error.h"\n')
        self.assert_reports("examples/assistant/main.cc:1", "base/error.h")


if __name__ == "__main__":
    unittest.main()
