"""The wire, judged by Python's own protobuf and a CRC-32C written from its definition."""

import json
import math
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet

ROOT = Path(__file__).resolve().parent.parent
WIRE = Path(os.environ.get("EMBMON_BUILD", ROOT / "build")).resolve() / "tools" / "wire"

TYPES = ["Hello", "Welcome", "Layers", "Heartbeat", "Sample", "Scalar", "StepEnd", "Epoch", "Bye",
         "Ack", "Nack", "Notice", "Wish", "Query", "Reply", "Ids", "Shape"]
NUMBER = {name: i + 1 for i, name in enumerate(TYPES)}
OUR_NAME = {name: "step_end" if name == "StepEnd" else name.lower() for name in TYPES}
DEFLATED = 1


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(number, payload, flags=0, version=1, magic=b"EMBM"):
    head = magic + struct.pack("<BBHI", version, flags, number, len(payload))
    return head + struct.pack("<I", crc32c(head + payload)) + payload


def frames(data):
    """(type, flags, payload) of each frame; every byte must belong to one."""
    while data:
        magic, version, flags, number, length, crc = struct.unpack_from("<4sBBHII", data)
        payload = data[16:16 + length]
        assert (magic, version, len(payload)) == (b"EMBM", 1, length)
        assert crc == crc32c(data[:12] + payload)
        yield number, flags, payload
        data = data[16 + length:]


def run(data=b"", *arguments, status=0):
    done = subprocess.run([WIRE, *arguments], input=data, capture_output=True, timeout=30)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stderr == b""
    return done.stdout


def decoded(data, status=0):
    return [json.loads(line) for line in run(data, status=status).splitlines()]


@pytest.fixture(scope="session")
def proto(tmp_path_factory):
    """The messages of embmon.proto as Python's protobuf makes them from protoc's description."""
    described = tmp_path_factory.mktemp("proto") / "embmon.desc"
    subprocess.run(["protoc", f"-I{ROOT / 'proto'}", f"--descriptor_set_out={described}",
                    "embmon.proto"], check=True)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes()).file:
        pool.Add(file)

    class Messages:
        def __getattr__(self, name):
            descriptor = pool.FindMessageTypeByName("embmon." + name)
            return message_factory.GetMessageClass(descriptor)

    return Messages()


def plain(value):
    """A number as our tool prints it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def as_dict(message):
    """A Python message as our tool prints it: every field, in the tool's shape."""
    out = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        is_list = not isinstance(value, (str, bytes)) and hasattr(value, "__len__")
        if field.message_type:
            out[field.name] = [as_dict(v) for v in value] if is_list else as_dict(value)
        elif is_list:
            out[field.name] = [plain(v) for v in value]
        else:
            out[field.name] = value.hex() if isinstance(value, bytes) else plain(value)
    if message.DESCRIPTOR.name == "Summary":
        out["extras"] = [list(pair) for pair in zip(out.pop("extra_keys"), out.pop("extra_values"))]
    if message.DESCRIPTOR.name == "IdStats":
        out["busiest"] = [list(pair) for pair in
                          zip(out.pop("busiest_ids"), out.pop("busiest_counts"))]
    if message.DESCRIPTOR.name == "Ids":
        out["words"] = [list(pair) for pair in zip(out.pop("word_ids"), out["words"])]
    if message.DESCRIPTOR.name in ("Summary", "IdStats", "Layer", "Variable", "Threshold", "Ignore"):
        out["ok"] = True
    else:
        out["type"] = OUR_NAME[message.DESCRIPTOR.name]
    return out


def one_of_each(proto):
    summary = dict(count=20, parts=3, zeros=2, nans=1, positive_infinities=1,
                   negative_infinities=1, min=-3.5, max=1e30, sum=-0.25, absolute_sum=1e308,
                   square_sum=5e-324, negative_first=0, negative_counts=[1, 0, 7],
                   positive_first=2036, positive_counts=[1, 2, 0, 4],
                   extra_keys=[1, 2, 3], extra_values=[4, 5, 1])
    return [
        proto.Hello(protocol_min=1, protocol_max=9, session=bytes(range(16)), given="a/b",
                    name="sweep/lr=1e-3", key="4711 \u00e9", rank=7, world_size=8, resume=True,
                    every=64),
        proto.Welcome(protocol=1, run="a-2", next_step=2**53, every=1, sequence=2**64 - 1,
                      frame_limit=2**32 - 1, rejected=2**64 - 1),
        proto.Layers(layers=[dict(id=1, path="inner/\u5c64:0", kind=6, activation="tanh",
                                  trainable=True, sharded=True, rows=2**53, columns=3,
                                  has_padding=True, padding_id=-2**63, inputs=[0, 2**20],
                                  shape=[-1, 2**63 - 1], dtype=8, tied=True, mask=5),
                             dict(id=2, path="b", inputs=list(range(64)), shape=[1] * 8)],
                     variables=[dict(id=3, layer=1, name="kernel", shape=[4, 5], dtype=1)],
                     thresholds=[dict(detector="gradient_exploding", layers="inner/*", key="layer",
                                      value=5e-324),
                                 dict(detector="\u5c64", layers="?" * 255, key="a" * 31,
                                      value=-1e308)],
                     ignores=[dict(detector="d" * 31, layers="\u5c64*")]),
        proto.Heartbeat(produced=2**64 - 1, dropped=1, hurry=True),
        proto.Sample(sequence=2**64 - 1, target=2**20, signal=2, phase=2, step=2**53 - 1,
                     summary=summary),
        proto.Scalar(sequence=1, phase=1, step=0, name="learning_rate", value=1e-3),
        proto.Scalar(sequence=1, phase=1, step=0, name="loss", value=math.nan),
        proto.Scalar(sequence=1, phase=1, step=0, name="loss", value=-math.inf),
        proto.StepEnd(sequence=5, phase=3, step=6, posted=7, dropped=8),
        proto.Epoch(sequence=9, epoch=10, step=11),
        proto.Bye(undelivered=12),
        proto.Ack(kept=13, durable=12),
        proto.Nack(sequence=14, reason=1, detail="why \u2192 because"),
        proto.Notice(time=1.5e9, phase=1, layer="a", variable="b", signal="gradient",
                     detector="gradient_spike", severity=3, state=2, step=15, first_step=14,
                     value=math.inf, threshold=1e-7, baseline=math.nan, reason="new level",
                     summary="s", hint="h \"q\" \\"),
        proto.Wish(steps=65536, layer="inner/\u5c64:0"),
        proto.Query(name="alerts", run="no such run", firing=True),
        proto.Reply(status=64, last=True, text=b"\x00\xff{}\n"),
        proto.Ids(sequence=16, target=2**20, phase=2, step=2**53 - 1, fed=True, input="\u5c64/1",
                  dtype=1, stats=dict(
                      count=2**40, sequences=100, sequence_length=12, negative=1, beyond=2,
                      worst=-1e300, worst_position=2**40 - 1, fractional=3,
                      fractional_value=math.nan, fractional_position=4, inexact=5,
                      inexact_value=2.0**24, inexact_position=6, padded=7, leading=8, trailing=9,
                      full=10, empty=11, empty_sequence=99, length_min=1, length_max=12, varied=13,
                      masked=2**40, mismatched=14, mismatch_position=15, unique=16,
                      unique_error=17, busiest_error=18, rows_seen=2**64 - 1,
                      busiest_ids=[-2**63, 2**63 - 1], busiest_counts=[2**40, 1]),
                  word_ids=[-2**63, 7], words=["\u5c64", "w" * 64]),
        proto.Shape(sequence=17, target=3, phase=1, step=4, role=1, index=63, inputs=64, axis=-8,
                    dtype=8, dims=[-1, 0, 2**63 - 1]),
    ]


def packed(message, flags=0):
    payload = message.SerializeToString()
    return frame(NUMBER[message.DESCRIPTOR.name],
                 zlib.compress(payload) if flags else payload, flags)


def test_what_python_sends_is_decoded_field_by_field(proto):
    messages = one_of_each(proto)
    assert {m.DESCRIPTOR.name for m in messages} == set(TYPES)
    got = decoded(b"".join(packed(m) for m in messages))
    assert got == [as_dict(m) for m in messages]


def test_the_tool_prints_every_field_of_the_schema(proto):
    """A field added to embmon.proto alone would be noticed here."""
    for message, got in zip(one_of_each(proto), decoded(b"".join(map(packed, one_of_each(proto))))):
        assert as_dict(message).keys() == got.keys()


@pytest.mark.parametrize("how", ["encode", "deflate"])
def test_what_is_sent_is_what_python_decodes(proto, how):
    data = run(b"", how)
    printed = decoded(data)
    received = list(frames(data))
    assert [number for number, _, _ in received] == list(range(1, 18))
    deflated = 0
    for (number, flags, payload), ours in zip(received, printed):
        assert flags in (0, DEFLATED)
        if flags:
            deflated += 1
            payload = zlib.decompress(payload)
        message = getattr(proto, TYPES[number - 1]).FromString(payload)
        assert not list(UnknownFieldSet(message))
        assert as_dict(message) == ours
    assert deflated == 0 if how == "encode" else deflated >= 3


def test_our_constants_arrive_in_python(proto):
    by_type = {number: payload for number, _, payload in frames(run(b"", "encode"))}
    hello = proto.Hello.FromString(by_type[1])
    assert (hello.protocol_min, hello.protocol_max, hello.rank, hello.world_size) == (1, 2, 1023, 1024)
    assert hello.session == bytes(k * 17 for k in range(16))
    assert (hello.given, hello.name, hello.key) == ("reviews-2", "reviews", "job")
    assert (hello.resume, hello.every) == (True, 2**20)
    layers = proto.Layers.FromString(by_type[3])
    assert [layer.path for layer in layers.layers] == ["inner_model/embedding_1", "\u5c64"]
    assert layers.layers[0].padding_id == -2**63
    assert list(layers.layers[0].shape) == [-1, 12, 2**63 - 1]
    assert list(layers.layers[0].inputs) == [0, 300]
    assert layers.variables[0].name == "kernel"
    assert [(t.detector, t.layers, t.key, t.value) for t in layers.thresholds] == [
        ("gradient_exploding", "inner_model/*", "layer", sys.float_info.max),
        ("\u5c64", "?", "a_1", -0.1)]
    assert [(i.detector, i.layers) for i in layers.ignores] == [
        ("gradient_spike", "*"), ("x", " "), ("x/y", "/")]
    summary = proto.Sample.FromString(by_type[5]).summary
    assert list(summary.negative_counts) == [1, 0, 300]
    assert (summary.negative_first, summary.positive_first) == (900, 2039)
    assert (summary.sum, summary.max) == (-5e-324, float.fromhex("0x1.fffffep127"))
    assert list(summary.extra_keys) == [1, 3] and list(summary.extra_values) == [5, 1]
    assert proto.Scalar.FromString(by_type[6]).value == -math.inf
    ids = proto.Ids.FromString(by_type[16])
    assert (ids.sequence, ids.input, ids.dtype, ids.fed) == (15, "input1", 8, True)
    assert (ids.stats.count, ids.stats.worst, ids.stats.fractional_value) == (640, -2.0**63, 9.99)
    assert list(ids.stats.busiest_ids) == [-2**63, 3] and list(ids.stats.busiest_counts) == [22, 21]
    assert list(ids.word_ids) == [-2**63, 3] and list(ids.words) == ["dress", '\u5c64 "|"']
    shape = proto.Shape.FromString(by_type[17])
    assert (shape.role, shape.index, shape.inputs, shape.axis) == (1, 63, 64, -8)
    assert list(shape.dims) == [-1, 12, 2**63 - 1]
    assert proto.Reply.FromString(by_type[15]).text == b'{"a":\0\xff}\n'


def test_numbers_are_packed(proto):
    """Repeated numbers travel as one field, not as one field each."""
    by_type = {number: payload for number, _, payload in frames(run(b"", "encode"))}
    for name in ("Layers", "Sample", "Ids", "Shape"):
        payload = by_type[NUMBER[name]]
        again = getattr(proto, name).FromString(payload)
        assert len(payload) == again.ByteSize()


def test_deflated_frames_are_inflated(proto):
    messages = one_of_each(proto)
    assert decoded(b"".join(packed(m, DEFLATED) for m in messages)) == [as_dict(m) for m in messages]


def test_unknown_fields_are_skipped_everywhere(proto):
    extra = b"".join([b"\xa0\x06\x01", b"\xaa\x06\x03abc", b"\xb5\x06" + b"1234",
                      b"\xb9\x06" + b"12345678"])  # fields 100 to 103 of four wire types
    for message in one_of_each(proto):
        payload = message.SerializeToString()
        number = NUMBER[message.DESCRIPTOR.name]
        for data in (payload + extra, extra + payload):
            assert decoded(frame(number, data)) == [as_dict(message)]
    inner = b"\x0a" + bytes([2 + len(extra)]) + b"\x08\x05" + extra  # a Layer{id 5} with them
    layers = proto.Layers.FromString(inner)
    layers.layers[0].path = "a"
    assert decoded(packed(layers))[0]["layers"][0]["id"] == 5


def test_unknown_types_are_skipped_and_the_next_message_is_read(proto):
    data = frame(18, b"anything") + frame(65535, b"") + frame(0, b"\xff") + packed(proto.Bye())
    assert decoded(data) == [{"unknown": 18}, {"unknown": 65535}, {"unknown": 0},
                             {"type": "bye", "undelivered": 0}]


def test_unpacked_numbers_are_understood(proto):
    """Packed is what we send; the specification asks readers to take both."""
    sample = one_of_each(proto)[4]
    payload = sample.SerializeToString()
    summary = sample.summary
    short = proto.Summary()
    short.CopyFrom(summary)
    del short.negative_counts[:]
    body = short.SerializeToString() + b"".join(b"\x68" + bytes([n]) for n in summary.negative_counts)
    outer = proto.Sample()
    outer.CopyFrom(sample)
    outer.ClearField("summary")
    data = outer.SerializeToString() + b"\x32" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body
    assert data != payload
    assert decoded(frame(5, data)) == [as_dict(sample)]


def test_a_bomb_ends_the_stream():
    bomb = zlib.compress(b"\0" * (17 << 20), 9)
    assert len(bomb) < 20000
    assert decoded(frame(5, bomb, DEFLATED), status=1) == [
        {"error": "a deflated frame that inflates beyond the limit"}]


@pytest.mark.parametrize("data, error", [
    (b"GET / HTTP/1.1\r\n\r\n", "not embmond's protocol"),
    (b"\0" * 64, "not embmond's protocol"),
    (frame(9, b"", version=2), "a framing version that is not spoken here"),
    (frame(9, b"", flags=2), "a frame with unknown flags"),
    (frame(9, b"")[:-1], "not a whole frame yet"),
    (frame(9, b"\x08\x01")[:-1], "not a whole frame yet"),
    (frame(9, b"\x08\x01")[:-1] + b"\x02", "a frame whose checksum does not match"),
    (b"EMBM\1\0\1\0" + struct.pack("<I", (4 << 20) + 1), "a frame longer than the limit"),
    (frame(9, b"not zlib", DEFLATED), "a deflated frame that is not one whole zlib stream"),
    (frame(9, zlib.compress(b"\x08\x01") + b"\0", DEFLATED),
     "a deflated frame that is not one whole zlib stream"),
    (frame(9, zlib.compress(b"\x08\x01")[:-1], DEFLATED),
     "a deflated frame that is not one whole zlib stream"),
])
def test_what_is_no_frame_is_named(data, error):
    assert decoded(frame(9, b"\x08\x01") + data, status=1) == [
        {"type": "bye", "undelivered": 1}, {"error": error}]


def test_invalid_messages_are_named_and_the_next_one_is_read(proto):
    hello = one_of_each(proto)[0]
    sample = one_of_each(proto)[4]
    sample.summary.count += 1
    names = [b"../up", b"/etc", b"caf\xc3\xa9", b"\xff\xfe", b"a\0b", b""]
    data = b""
    for name in names:  # Python refuses to hold the wrong UTF-8, so that the field is written here
        other = proto.Hello()
        other.CopyFrom(hello)
        other.ClearField("name")
        data += frame(1, other.SerializeToString() + b"\x2a" + bytes([len(name)]) + name)
    data += packed(sample) + packed(proto.Bye())
    got = decoded(data)
    assert len(got) == len(names) + 2
    for line, name in zip(got, names):
        assert line["frame_type"] == 1
        assert ("NUL" if b"\0" in name else "the run's name is not parts of") in line["problem"]
    assert got[-2] == {"problem": "the counts do not add up to count", "frame_type": 5,
                       "sequence": 2**64 - 1}
    assert got[-1]["type"] == "bye"


def test_python_and_we_agree_on_what_is_protobuf(proto):
    """Random damage: what we call a good message, Python can parse, and into the same values."""
    rng = random.Random(11)
    messages = one_of_each(proto)
    data, payloads = [], []
    for _ in range(3000):
        message = rng.choice(messages)
        payload = bytearray(message.SerializeToString())
        for _ in range(rng.randrange(1, 4)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        number = NUMBER[message.DESCRIPTOR.name]
        payloads.append((number, bytes(payload)))
        data.append(frame(number, bytes(payload)))
    agreed = 0
    for line, (number, payload) in zip(decoded(b"".join(data)), payloads, strict=True):
        if "type" not in line:
            continue
        message = getattr(proto, TYPES[number - 1]).FromString(payload)
        assert trimmed(line) == trimmed(as_dict(message))
        agreed += 1
    assert agreed > 300


def trimmed(message):
    """Spans without zero ends: a decoded one never has them."""
    if "summary" not in message or not isinstance(message["summary"], dict):
        return message
    summary = dict(message["summary"])
    for sign in ("negative", "positive"):
        counts, first = list(summary[f"{sign}_counts"]), summary[f"{sign}_first"]
        while counts and counts[-1] == 0:
            counts.pop()
        while counts and counts[0] == 0:
            counts.pop(0)
            first += 1
        summary[f"{sign}_counts"], summary[f"{sign}_first"] = counts, first if counts else 0
    return {**message, "summary": summary}
