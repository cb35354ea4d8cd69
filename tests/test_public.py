"""What `import jzero` gives, and what it leaves for later."""

import ast
import inspect
import subprocess
import sys
from importlib import metadata

import pytest

import jzero

HEAVY = ["flax", "orbax", "matplotlib", "optax", "tyro"]


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a Python which has run `code` has imported."""
    report = "import sys; print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code", ["import jzero; dir(jzero); jzero.__version__", "from jzero import search; search.muzero_policy"]
)
def test_networks_checkpoints_and_plots_are_not_imported_before_they_are_used(code):
    loaded = loaded_by(code)
    assert "jzero" in loaded
    assert not loaded.intersection(HEAVY)


def test_an_environment_and_its_check_need_no_networks():
    loaded = loaded_by("import jzero; jzero.make('tic_tac_toe'); jzero.check_env; jzero.Env")
    assert "jzero_envs" in loaded
    assert not loaded.intersection(HEAVY)


def test_nothing_needs_a_folder_for_temporary_files():
    nowhere = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']"
    loaded = loaded_by(f"{nowhere}; import jzero; jzero.search.muzero_policy; import jzero.run.cli")
    assert "chex" in loaded
    assert "matplotlib" not in loaded  # it needs one when it is imported


def test_every_public_name_is_there_and_those_for_types_are_the_same():
    for name in jzero.__all__:
        assert getattr(jzero, name) is not None
        assert name in dir(jzero)
    for node in ast.walk(ast.parse(inspect.getsource(jzero))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("jzero."):
            for alias in node.names:
                assert jzero._MODULE_OF[alias.name] == node.module
    assert {*jzero._MODULE_OF, "__version__"} == {*jzero.__all__}


def test_the_version_is_that_of_the_package():
    assert jzero.__version__ == metadata.version("jzero")


def test_modules_are_attributes_without_an_import_of_their_own():
    loaded = loaded_by("import jzero; jzero.search.muzero_policy; jzero.env.keep_finished")
    assert not loaded.intersection(HEAVY)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = jzero.no_such_name
