"""A disk as it may be after a power failure, rebuilt from what tests/faults/shim.c wrote down (its
SHIM_RECORD): of files what was synced and any part of the rest, of folders the names that were synced
and any beginning of what was done to them since. What of a file was not synced may also be there as
zeros, block by block, as on ext4 and xfs: the length had come to the disk, the data not.

    for op in operations(path):
        disk.take(op)              # so far
        disk.state(dice, folder)   # written out as one of the states it may be in
"""

import collections
import dataclasses
import os
import struct

import harness
from harness import proto

Operation = collections.namedtuple("Operation", "what inode offset path other data")


def operations(path):
    """What was done, in order."""
    with open(path, "rb") as stream:
        while line := stream.readline():
            what, inode, offset, size, names = line.rstrip(b"\n").split(b" ", 4)
            first, other = names.split(b"\t")
            yield Operation(what.decode(), int(inode), int(offset), first.decode(), other.decode(),
                            stream.read(int(size)))


@dataclasses.dataclass
class File:
    """All are append-only."""
    data: bytearray = dataclasses.field(default_factory=bytearray)
    synced: int = 0     # bytes that are on the disk for sure
    syncing: int = 0    # and will be once the sync that is under way is over
    lost: range = range(0)  # a sync has failed: the kernel takes these bytes for written

    def fail(self):
        """What was to be synced will not be on the disk unless it is written again."""
        self.lost = range(self.synced, max(self.syncing, self.lost.stop))

    def again(self, offset, data):
        assert self.data[offset:offset + len(data)] == data, "other bytes than before"
        if offset <= self.lost.start:
            self.lost = range(max(self.lost.start, offset + len(data)), self.lost.stop)

    def end_sync(self):
        self.synced = self.lost.start if self.lost else self.syncing

    def survives(self, dice):
        """What is there: all, what was synced, or cut in between where a block ends; and of what was
        not synced none, some or all blocks as zeros."""
        if self.lost:
            return bytes(self.data[:self.lost.start])
        block = dice.choice((512, 4096))
        ends = range(self.synced // block + 1, len(self.data) // block + 1)
        cut = dice.choice((self.synced, len(self.data), len(self.data),
                           dice.choice(ends) * block if ends else self.synced))
        data, lost = self.data[:cut], dice.choice((0, 0, 0.3, 1))
        for at in range(self.synced // block, -(-cut // block)):
            begin, end = max(self.synced, at * block), min(cut, (at + 1) * block)
            if begin < end and dice.random() < lost:
                data[begin:end] = bytes(end - begin)
        return bytes(data)


@dataclasses.dataclass
class Folder:
    names: dict = dataclasses.field(default_factory=dict)    # as it is now: name -> File or Folder
    synced: dict = dataclasses.field(default_factory=dict)   # and on the disk for sure
    since: list = dataclasses.field(default_factory=list)    # the changes in between
    syncing: int = 0                                         # how many of them are being synced

    def change(self, *changes):
        """changes: (name, what it is now or None), all of them at once."""
        apply(self.names, changes)
        self.since.append(changes)

    def end_sync(self):
        for changes in self.since[:self.syncing]:
            apply(self.synced, changes)
        del self.since[:self.syncing]
        self.syncing = 0

    def survives(self, dice):
        names = dict(self.synced)
        for changes in self.since[:dice.choice((0, len(self.since),
                                                dice.randrange(len(self.since) + 1)))]:
            apply(names, changes)
        return names


def apply(names, changes):
    for name, thing in changes:
        if thing is None:
            names.pop(name, None)
        else:
            names[name] = thing


class Disk:
    """Everything beneath `root`, which was there before and stays."""

    def __init__(self, root):
        self.root, self.top, self.inodes = str(root), Folder(), {}

    def _folder(self, path):
        """The folder that a path lies in, and its last part; (None, "") elsewhere."""
        if not path.startswith(self.root + "/"):
            return None, ""
        folder, *parts = self.top, *path[len(self.root) + 1:].split("/")
        for part in parts[:-1]:
            folder = folder.names[part]
        return folder, parts[-1]

    def _thing(self, op):
        if op.path == self.root:
            return self.top
        folder, name = self._folder(op.path)
        thing = folder.names.get(name) if folder else None
        return thing if isinstance(thing, Folder) else self.inodes.get(op.inode)

    def take(self, op):
        folder, name = self._folder(op.path)
        thing = self._thing(op) if op.what in ("sync", "synced", "failed") else None
        if op.what == "create" and folder and name not in folder.names:
            self.inodes[op.inode] = File()
            folder.change((name, self.inodes[op.inode]))
        elif op.what == "mkdirat" and folder:
            folder.change((name, Folder()))
        elif op.what == "renameat" and folder:
            other, to = self._folder(op.other)
            assert other is folder, "a rename between folders"
            folder.change((to, folder.names[name]), (name, None))
        elif op.what == "linkat" and folder:
            other, to = self._folder(op.other)
            assert other is folder, "a link between folders"
            folder.change((to, folder.names[name]))
        elif op.what == "unlinkat" and folder:
            folder.change((name, None))
        elif op.what == "write" and folder:
            file = self.inodes[op.inode]
            assert op.offset == len(file.data), "it is not appended"
            file.data += op.data
        elif op.what == "sync" and thing:
            thing.syncing = len(thing.data if isinstance(thing, File) else thing.since)
        elif op.what == "synced" and isinstance(thing, File):
            thing.end_sync()
        elif op.what == "failed" and isinstance(thing, File):
            thing.fail()
        elif op.what == "again" and folder:
            self.inodes[op.inode].again(op.offset, op.data)
        elif op.what == "synced" and thing:
            thing.end_sync()

    def state(self, dice, path):
        self._write(self.top, dice, str(path))

    def _write(self, folder, dice, path):
        os.mkdir(path)
        for name, thing in folder.survives(dice).items():
            if isinstance(thing, Folder):
                self._write(thing, dice, f"{path}/{name}")
            else:
                with open(f"{path}/{name}", "wb") as stream:
                    stream.write(thing.survives(dice))


def promised(op):
    """What is said to a trainer in it: the highest number that is durable; 0: nothing of that kind."""
    durable, at = 0, 0
    while op.what == "say" and op.data[at:at + 4] == b"EMBM":
        length = struct.unpack_from("<I", op.data, at + 8)[0]
        if op.data[at + 6] == harness.NUMBER["Ack"]:
            durable = max(durable, proto.Ack.FromString(op.data[at + 16:at + 16 + length]).durable)
        at += 16 + length
    return durable
