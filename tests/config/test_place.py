"""One loader for everything that a run.toml names by its place."""

import sys
from pathlib import Path

import pytest

from turnwright.config.place import functions_of, import_place, require_parameters
from turnwright.core.errors import ConfigError, EnvironmentLoadError


def test_a_module_is_found_by_name_and_by_file(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text("def one(a, *, b=1): return a + b\ndef _hidden(): ...\nimport math\n", encoding="utf-8")
    module = import_place(str(file), "loss 'mine.py:one'")
    assert module.one(1) == 2
    assert functions_of(module) == "one"
    assert sys.modules[module.__name__] is module
    assert import_place("math", "loss 'math:pi'").pi > 3


def test_two_files_of_one_name_do_not_shadow_each_other(tmp_path: Path):
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"VALUE = {value}\n", encoding="utf-8")
    one, other = (import_place(str(tmp_path / folder / "mine.py"), "x") for folder in "ab")
    assert (one.VALUE, other.VALUE) == (1, 2)
    assert one.__name__ != other.__name__


@pytest.mark.parametrize("error", [EnvironmentLoadError, ConfigError])
def test_what_cannot_be_imported_is_an_error_of_the_callers_kind(tmp_path: Path, error: type):
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no')\n", encoding="utf-8")
    before = set(sys.modules)
    for place, message in (
        (str(broken), "loss 'x': importing .*broken.py failed: RuntimeError"),
        (str(tmp_path / "absent.py"), "loss 'x': there is no file .*absent.py"),
        ("no.such.module", "loss 'x': importing no.such.module failed: ModuleNotFoundError"),
    ):
        with pytest.raises(error, match=message):
            import_place(place, "loss 'x'", error=error)
    assert set(sys.modules) == before


def test_a_function_must_take_the_parameters_and_options():
    def takes(a, b, *, c):
        return a, b, c

    require_parameters(takes, "it", "a", "b", options=["c"])
    require_parameters(min, "a built-in function has no signature to look at", "a")
    with pytest.raises(EnvironmentLoadError, match=r"it must accept \(a\): it is declared as \(a, b, \*, c\)"):
        require_parameters(takes, "it", "a")
    with pytest.raises(ConfigError, match=r"it must accept \(a, b, \*, c, d\): it is declared"):
        require_parameters(takes, "it", "a", "b", options=["c", "d"], error=ConfigError)
