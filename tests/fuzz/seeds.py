"""Writes the first seeds of the fuzz targets: build/tools/wire's messages, in each target's form.

    make tools && build/venv/bin/python tests/fuzz/seeds.py
"""
import pathlib
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "corpus"
HEADER = 16

sys.path.insert(0, str(ROOT / "tests"))

import harness  # noqa: E402


def frames(how):
    """(type, whole frame) of every message."""
    data = subprocess.run([ROOT / "build/tools/wire", how], check=True, capture_output=True).stdout
    found = []
    while data:
        kind, length = struct.unpack("<HI", data[6:12])
        found.append((kind, data[:HEADER + length]))
        data = data[HEADER + length:]
    return found


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


def event_records(samples):
    """A scalar's Event by hand: wall_time, step, summary { value { tag, simple_value } }."""
    tag = b"\x0a\x04loss" + b"\x15" + struct.pack("<f", 0.5)
    value = b"\x0a" + bytes([len(tag)]) + tag
    event = b"\x09" + struct.pack("<d", 1.7e9) + b"\x10\x05" + b"\x2a" + bytes([len(value)]) + value
    piece = struct.pack("<H", len(event) << 1 | 1)[:1] + bytes([len(event) >> 7])
    return (piece + event) * samples


def main():
    plain, deflated = frames("encode"), frames("deflate")
    write("frame", "plain", b"\0" + b"".join(frame for _, frame in plain))
    write("frame", "deflated", b"\3" + b"".join(frame for _, frame in deflated))
    for kind, frame in plain:
        write("message", f"type-{kind}", bytes([kind]) + frame[HEADER:])
    write("guard", "messages", b"\x10" + b"".join(frame for _, frame in plain))
    for kind, length in ((18, 32), (19, 32), (19, 64), (19, 4096)):
        write("guard", f"type-{kind}-{length}", b"\xff" + harness.frame(kind, bytes(range(32)) * (length // 32)))
    write("guard", "http", b"\x03GET / HTTP/1.1\r\n\r\n")
    sample = next(frame[HEADER:] for kind, frame in plain if kind == 5)
    write("record", "two-samples", (struct.pack("<H", len(sample)) + sample) * 2)
    write("resume", "events", event_records(3))
    write("resume", "torn", event_records(2)[:-5] + b"\x40\x00garbage")
    state = subprocess.run([ROOT / "build/tools/state"], check=True, capture_output=True).stdout
    write("checkpoint", "training", b"\1" + state)
    write("checkpoint", "nothing", b"\1")
    write("checkpoint", "head", b"\0embmon\r\n" + struct.pack("<IIQ", 1, 0, 0))
    example = (ROOT / "docs" / "embmond.yaml").read_bytes()
    write("config", "example", b"".join(line for line in example.splitlines(True)
                                        if line.strip() and not line.lstrip().startswith(b"#")))
    write("config", "flow", b'{listen: ["unix:/a"], limits: {runs: 1}, layers: [{match: "*", detectors: {dead: {}}}]}')
    by_kind = dict(plain)
    welcome = by_kind[2]
    write("answers", "welcome", welcome)
    for kind in (10, 11, 12, 13, 4):
        write("answers", f"welcome-{kind}", welcome + by_kind[kind] + welcome)


if __name__ == "__main__":
    main()
