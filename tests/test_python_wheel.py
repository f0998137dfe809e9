"""The wheel: built from this tree, installed into a fresh environment, used outside the repository."""

import fcntl
import os
import signal
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile

import pytest

import readers
from harness import ROOT

PACKAGE = ROOT / "client" / "python"
SYSTEM = {"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2",
          "ld-linux-aarch64.so.1"}


def build(source, to, **options):
    return subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-v", "--no-index", "--no-deps",
         "--no-build-isolation", "--disable-pip-version-check", "-w", to, source],
        capture_output=True, text=True, timeout=600, check=False, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Its path. Built in build/portable, which is one for all workers: one at a time."""
    folder = tmp_path_factory.mktemp("wheel")
    with open(f"{tempfile.gettempdir()}/embmon-wheel-{os.getuid()}.lock", "w",
              encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = {path for path in PACKAGE.rglob("*") if "__pycache__" not in str(path)}
        done = build(PACKAGE, folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {path for path in PACKAGE.rglob("*") if "__pycache__" not in str(path)} == before
    made, = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """run(*command, **environment) in a fresh environment with nothing but the wheel; its folder."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "venv", with_pip=True)
    binaries = folder / "venv" / "bin"
    subprocess.run([binaries / "pip", "install", "-q", "--no-index", "--disable-pip-version-check",
                    wheel], check=True, timeout=120, cwd=folder)

    def run(*command, **environment):
        return subprocess.run([binaries / command[0], *command[1:]], cwd=folder, timeout=60,
                              capture_output=True, text=True, check=False,
                              env={"PATH": f"{binaries}:/usr/bin:/bin", "HOME": str(folder)}
                              | environment)
    run.folder = folder
    return run


def test_what_it_holds(wheel, tmp_path):
    libc = platform.libc_ver()[1].replace(".", "_")
    assert re.fullmatch(rf"embmon-[0-9.]+-py3-none-manylinux_{libc}_{platform.machine()}\.whl",
                        wheel.name)
    with zipfile.ZipFile(wheel) as files:
        names = {name for name in files.namelist() if not re.search(r"\.dist-info/", name)}
        files.extractall(tmp_path)
    carried = {"embmon/carried/libembmon.so", "embmon/carried/embmond", "embmon/carried/embmonctl"}
    modules = {str(path.relative_to(PACKAGE)) for path in (PACKAGE / "embmon").rglob("*.py")}
    assert names == carried | modules | {"embmon/py.typed"}
    for name in carried:
        text = subprocess.run(["readelf", "-d", tmp_path / name], capture_output=True, text=True,
                              check=True).stdout
        assert set(re.findall(r"NEEDED.*\[(.*)\]", text)) <= SYSTEM, name
        assert "TEXTREL" not in text and "RUNPATH" not in text and "RPATH" not in text
    symbols = subprocess.run(["nm", "-D", "--defined-only", "--format=just-symbols",
                              tmp_path / "embmon/carried/libembmon.so"], capture_output=True,
                             text=True, check=True).stdout.split()
    assert symbols and all(symbol.startswith("embmon_") for symbol in symbols), symbols


def test_a_training_outside_the_repository(installed):
    (installed.folder / "train.py").write_text("""
import array, embmon, sys
assert "numpy" not in sys.modules and "/venv/" in embmon.__file__
with embmon.Client() as client:
    for step in range(10):
        client.post("tower/dense", "gradient", step, array.array("f", [3, 4]))
        client.step(step)
    assert client.close() == 0
    print(client.run)
sys.exit(5)
""")
    done = installed("embmond", "-l", "runs", "--", "python", "train.py")
    assert done.returncode == 5, done.stderr
    run = done.stdout.strip()
    series = readers.both(installed.folder / "runs")[f"{run}/embmon"]
    assert series.scalars["gradient_norm/tower/dense"] == [(step, 5.0) for step in range(10)]


def test_a_daemon_for_a_notebook(installed):
    done = installed("python", "-c", """
import embmon
with embmon.start("started") as daemon:
    client = embmon.Client("a", address=daemon.address)
    client.step(0)
    print(client.close(), client.run)
""")
    assert (done.returncode, done.stdout) == (0, "0 a\n"), done.stderr


@pytest.mark.parametrize("name", ["embmond", "embmonctl"])
def test_the_commands_are_the_carried_programs(installed, name):
    done = installed(name, "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, name)
    assert installed(name, "--no-such-option").returncode == 64


def test_a_command_gets_the_signals_as_they_were(installed):
    """Python ignores SIGPIPE; what embmond starts must not."""
    done = installed("embmond", "-q", "--", "/bin/grep", "SigIgn", "/proc/self/status")
    ignored = int(done.stdout.split()[1], 16)  # others may be so by whoever started the tests
    assert not any(ignored >> (number - 1) & 1 for number in (signal.SIGPIPE, signal.SIGXFSZ))


def test_the_man_who_has_only_the_python_folder(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "a" / "b" / "c", ignore=shutil.ignore_patterns("__pycache__"))
    done = build(tmp_path / "a" / "b" / "c", tmp_path / "out")
    assert done.returncode != 0
    assert "built from a checkout of the whole repository" in done.stdout + done.stderr


def test_missing_packages_are_named(tmp_path):
    """A tree of its own, as nothing must be built there; a PATH with a compiler and little else."""
    shutil.copytree(PACKAGE, tmp_path / "t" / "client" / "python",
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "include", tmp_path / "t" / "include")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "make").symlink_to("/usr/bin/make")
    (tmp_path / "bin" / "cc").write_text("#!/bin/sh\n"  # no uv.h on this system
                                         "/bin/grep -q uv.h && exit 1\nexit 0\n")
    (tmp_path / "bin" / "cc").chmod(0o755)
    done = build(tmp_path / "t" / "client" / "python", tmp_path / "out",
                 env=os.environ | {"PATH": str(tmp_path / "bin")})
    assert done.returncode != 0
    assert "apt-get install protobuf-c-compiler libuv1-dev" in done.stdout + done.stderr
