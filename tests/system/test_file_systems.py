"""ext4 and xfs live on /dev/loopN over the whole chain: 20,000 real files and a git repository come back as they were.

Each test ends with the file system's own check, and with a kernel log that complains of nothing.
"""

import os
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.block_devices import spawn_block_devices
from tests.harness.file_systems import check_file_system, make_file_system, mounted
from tests.hostside.frontends.file_server import NEEDS_LOOP
from tests.programs import needs, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(240), NEEDS_LOOP]

MIB_BLOCKS = 1 << 20 >> 9
FILES = 20_000
AT_ONCE = 4
"""Trees that are compared side by side: one alone waits for one small read after the other."""
REPOSITORY = Path(__file__).parents[2]
GIT_CONFIGURATION = "[safe]\n\tdirectory = *\n[user]\n\tname = nobody\n\temail = nobody@localhost\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the sources of the standard library, without what was installed beside it."""
    library = Path(sysconfig.get_path("stdlib"))
    tree = tmp_path_factory.mktemp("sources") / "library"
    for source in library.rglob("*.py"):
        if not {"site-packages", "dist-packages"} & set(source.parts):
            copy = tree / source.relative_to(library)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    return tree


def assert_alike(tree: Path, copies: Sequence[Path]) -> None:
    """Compare names and contents of each copy with the tree."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for told in pool.map(lambda copy: run("diff", "-r", str(tree), str(copy)), copies):
            assert told == ""


@pytest.mark.parametrize(
    "kind", [pytest.param("ext4", marks=needs("mkfs.ext4")), pytest.param("xfs", marks=needs("mkfs.xfs"))]
)
def test_20_000_files_are_what_they_were_after_a_new_mount(kind: str, tree: Path) -> None:
    files_in_tree = sum(1 for path in tree.rglob("*") if path.is_file())
    names = [f"copy{number}" for number in range(-(-FILES // files_in_tree))]
    with spawn_block_devices({"unit_1": 640 * MIB_BLOCKS}) as world:
        device = world.at("unit_1")
        make_file_system(kind, device)
        with mounted(device) as folder:
            for name in ["gone", *names]:
                run("cp", "-r", str(tree), str(folder / name))
            run("rm", "-r", str(folder / "gone"))
            run("fstrim", str(folder))
        with mounted(device) as folder:
            assert_alike(tree, [folder / name for name in names])
        check_file_system(kind, device)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a git repository: this project's own, or one made of its sources where they came without."""
    configuration = tmp_path / "gitconfig"
    configuration.write_text(GIT_CONFIGURATION)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # of a hook that runs these tests
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    if (REPOSITORY / ".git").exists():
        yield REPOSITORY
        return
    made = tmp_path / "made"
    shutil.copytree(REPOSITORY / "tests", made / "tests")
    git(tmp_path, "init", "-q", str(made))
    git(made, "add", ".")
    git(made, "commit", "-q", "-m", "All at once")
    yield made


def git(folder: Path, *arguments: str) -> str:
    return run("git", "-C", str(folder), *arguments)


@needs("git")
@needs("mkfs.xfs")
def test_a_git_repository_is_cloned_grown_packed_and_whole(repository: Path) -> None:
    with spawn_block_devices({"unit_1": 384 * MIB_BLOCKS}) as world:
        device = world.at("unit_1")
        make_file_system("xfs", device)
        with mounted(device) as folder:
            clone = folder / "clone"
            git(folder, "clone", "-q", "--no-hardlinks", str(repository), str(clone))
            git(clone, "fsck", "--full")
            (clone / "new").write_text("what a working day adds\n")
            git(clone, "add", "new")
            git(clone, "commit", "-q", "-m", "One more")
            git(clone, "gc", "-q", "--prune=now")
        with mounted(device) as folder:
            clone = folder / "clone"
            git(clone, "fsck", "--full")
            assert git(clone, "status", "--porcelain") == ""
            assert git(clone, "rev-parse", "HEAD~1") == git(repository, "rev-parse", "HEAD")
        check_file_system("xfs", device)
