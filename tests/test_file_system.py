"""A logdir where what is acknowledged may not survive is said at the start, and used all the same."""

import pathlib
import subprocess
import tempfile

import pytest

from harness import Daemon

# embmond under a kernel that says of every folder that it is on a file system of this number.
SHIM = """
#include <sys/vfs.h>
int statfs(const char *path, struct statfs *to)
{
    (void)path;
    *to = (struct statfs){.f_type = (long)TYPE, .f_bsize = 4096, .f_namelen = 255};
    return 0;
}
"""


@pytest.mark.parametrize("magic, name", [(0x6969, "NFS"), (0x65735546, "FUSE"),
                                         (0x0BD00BD3, "Lustre"), (0xFF534D42, "CIFS")])
def test_one_of_another_machine_is_warned_of(magic, name, tmp_path):
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run(["gcc", "-D_GNU_SOURCE", f"-DTYPE={magic}", "-shared", "-fPIC", "-o",
                    tmp_path / "shim.so", tmp_path / "shim.c"], check=True)
    with Daemon(env={"LD_PRELOAD": str(tmp_path / "shim.so")}) as daemon:
        said = [line for line in daemon.lines("warning") if "the logdir" in line]
        assert len(said) == 1 and f"is on {name}: " in said[0], daemon.log()
        with daemon.trainer() as trainer:
            trainer.step(0)
            trainer.settle()
            trainer.bye()
        assert daemon.stop() == 0
        assert daemon.event_files()


@pytest.mark.skipif(not pathlib.Path("/dev/shm").is_dir(), reason="needs /dev/shm")
def test_one_in_memory_is_said():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as logdir, Daemon(logdir=logdir) as daemon:
        assert len(daemon.lines("is in memory (tmpfs)")) == 1, daemon.log()


def test_of_a_local_one_nothing_is_said():
    """Below the build, which is not in memory where tests are run."""
    build = pathlib.Path(__file__).resolve().parent.parent / "build"
    with tempfile.TemporaryDirectory(dir=build) as logdir, Daemon(logdir=logdir) as daemon:
        found = subprocess.run(["stat", "-f", "-c", "%T", logdir], capture_output=True, text=True,
                               check=True).stdout.strip()
        if found not in ("ext2/ext3", "xfs", "btrfs", "overlayfs", "zfs", "f2fs"):
            pytest.skip(f"the build is on {found}")
        assert not [line for line in daemon.lines("the logdir") if "is on" in line
                    or "in memory" in line], daemon.log()
