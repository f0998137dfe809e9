"""What of an array arrives: every kind of array, dtype and layout, judged by numpy's own moments."""

import array
import ctypes
import os
import sys

import ml_dtypes
import numpy as np
import pytest

from harness import BUILD, ROOT
from recorder import Recorder

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402
from embmon import _arrays  # noqa: E402

VALUES = np.array([0.5, -2.0, 0.0, 3.0, -0.25, 64.0])
DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64"]


@pytest.fixture(scope="module")
def recorder():
    with Recorder() as made:
        yield made


@pytest.fixture
def post(recorder):
    """post(array, dtype=None): the summary that arrives."""
    def run(given, dtype=None):
        with embmon.Client(run="r", address=recorder.address) as client:
            assert client.post("layer", "gradient", 0, given, dtype) is True
        recorded = recorder.of("Sample")
        recorder.messages.clear()
        assert len(recorded) == 1
        return recorded[0].summary
    return run


def check(summary, values):
    """values: what the elements are, as f64."""
    values = np.asarray(values, np.float64).ravel()
    assert summary.count == values.size
    assert summary.zeros == np.sum(values == 0)
    assert summary.sum == pytest.approx(values.sum(), rel=1e-12)
    assert summary.square_sum == pytest.approx((values**2).sum(), rel=1e-12)
    if values.size:
        assert (summary.min, summary.max) == (values.min(), values.max())


# ---- numpy

@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy(post, dtype):
    given = VALUES.astype(dtype).reshape(2, 3)
    check(post(given), given)


def test_bfloat16_of_ml_dtypes(post):
    given = VALUES.astype(ml_dtypes.bfloat16)
    check(post(given), VALUES)


@pytest.mark.parametrize("bits", ["uint16", "int16"])
def test_bfloat16_as_bits(post, bits):
    check(post(VALUES.astype(ml_dtypes.bfloat16).view(bits), "bf16"), VALUES)


def test_float_bits_as_integers_of_their_size(post):
    check(post(VALUES.astype("float16").view("uint16"), "float16"), VALUES)
    check(post(VALUES.view("int64"), "f64"), VALUES)


@pytest.mark.parametrize("given", [
    np.arange(24.0).reshape(4, 6)[:, ::2], np.arange(24.0).reshape(4, 6).T,
    np.arange(24.0)[::-1], np.broadcast_to(np.float32(2.0), (3, 4)),
    np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)),
    np.arange(24, dtype=np.int16)[1::3]], ids=["columns", "transposed", "reversed", "broadcast",
                                               "fortran", "every third"])
def test_not_contiguous(post, given):
    check(post(given), given)


def test_not_aligned(post):
    given = np.frombuffer(b"\0" + VALUES.tobytes(), np.float64, offset=1)
    assert not given.flags.aligned
    check(post(given), VALUES)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", ">f2"])
def test_of_the_other_byte_order(post, dtype):
    given = VALUES.astype(dtype)
    check(post(given), given)


def test_read_only(post):
    given = VALUES.copy()
    given.flags.writeable = False
    check(post(given), VALUES)


def test_subclass(post, tmp_path):
    given = np.memmap(tmp_path / "m", np.float32, "w+", shape=6)
    given[:] = VALUES
    check(post(given), VALUES)


@pytest.mark.parametrize("given, values", [
    (np.array(2.5), [2.5]), (np.float32(2.5), [2.5]), (np.array(3, np.int8), [3])])
def test_of_no_dimension(post, given, values):
    check(post(given), values)


@pytest.mark.parametrize("given", [
    np.zeros(0), np.zeros((3, 0, 4), np.float16), np.zeros(0, ml_dtypes.bfloat16),
    array.array("f"), memoryview(b"").cast("d")], ids=lambda given: type(given).__name__)
def test_empty(post, given):
    check(post(given), [])


def test_nothing_is_copied_where_it_need_not_be():
    for given in (VALUES, VALUES.astype("f4"), np.zeros((2, 2), ml_dtypes.bfloat16)):
        assert _arrays.view(given)[0] == given.ctypes.data
    read_only = VALUES.astype("f4")
    read_only.flags.writeable = False
    assert _arrays.view(read_only)[0] == read_only.ctypes.data
    buffer = array.array("d", VALUES)
    assert _arrays.view(buffer)[0] == buffer.buffer_info()[0]
    assert _arrays.view(OnlyDLPack(VALUES))[0] == VALUES.ctypes.data
    assert _arrays.view(VALUES.T)[0] == VALUES.ctypes.data  # of one dimension: the same


def test_what_is_copied_is_not_changed(post):
    given = np.arange(6.0).reshape(2, 3)
    before = given.copy()
    post(given.T)
    np.testing.assert_array_equal(given, before)


# ---- buffer protocol

@pytest.mark.parametrize("letter", list("fdbhilq"))
def test_array_array(post, letter):
    given = array.array(letter, VALUES if letter in "fd" else [1, -2, 0, 3])
    check(post(given), list(given))


def test_memoryviews(post):
    memory = memoryview(array.array("f", VALUES))
    check(post(memory), VALUES)
    check(post(memory[::2]), VALUES[::2])
    check(post(memory.toreadonly()), VALUES)
    check(post(memory.cast("B").cast("f", (2, 3))), VALUES)


def test_ctypes_arrays(post):
    check(post((ctypes.c_float * 6)(*VALUES)), VALUES)
    check(post((ctypes.c_int32 * 3)(1, -2, 3)), [1, -2, 3])
    check(post((ctypes.c_int64 * 3)(1, -2, 3)), [1, -2, 3])


def test_plain_bytes_with_a_dtype(post):
    check(post(VALUES.astype("f4").tobytes(), "f32"), VALUES)
    check(post(bytearray(VALUES.astype(ml_dtypes.bfloat16).tobytes()), "bfloat16"), VALUES)
    unaligned = memoryview(b"\0" + VALUES.tobytes())[1:]
    check(post(unaligned, "f64"), VALUES)


def test_a_buffer_is_given_back(post):
    given = bytearray(VALUES.tobytes())
    post(given, "f64")
    given.append(0)  # BufferError while anyone holds it


def test_an_array_is_given_back(post):
    given = VALUES.copy()
    count = sys.getrefcount(given)
    post(given)
    assert sys.getrefcount(given) == count
    given.resize(7, refcheck=True)  # ValueError while it is referenced or exported


# ---- DLPack

class OnlyDLPack:
    """A numpy array of which one only sees DLPack."""

    def __init__(self, of, device=1):
        self.of, self.device = of, device

    def __dlpack__(self, **options):
        return self.of.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device, 0


class Bfloat16:
    """An array of numpy's uint16 that DLPack calls bfloat16, as torch and JAX do."""

    def __init__(self, of):
        self.of = of

    def __dlpack__(self, **options):
        capsule = self.of.__dlpack__(**options)
        tensor = _arrays._DLTensor.from_address(_arrays._capsule_pointer(capsule, b"dltensor"))
        tensor.code = 4
        return capsule

    def __dlpack_device__(self):
        return 1, 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack(post, dtype):
    given = VALUES.astype(dtype).reshape(3, 2)
    check(post(OnlyDLPack(given)), given)


def test_dlpack_not_contiguous(post):
    for given in (np.arange(24.0).reshape(4, 6)[:, 1::2], np.arange(24, dtype="f4").reshape(4, 6).T):
        check(post(OnlyDLPack(given)), given)


def test_dlpack_bfloat16(post):
    bits = VALUES.astype(ml_dtypes.bfloat16).view("uint16")
    check(post(Bfloat16(bits.copy())), VALUES)
    check(post(OnlyDLPack(bits), "bf16"), VALUES)


def test_dlpack_empty_and_of_no_dimension(post):
    check(post(OnlyDLPack(np.zeros((2, 0)))), [])
    check(post(OnlyDLPack(np.array(2.5))), [2.5])


def test_dlpack_on_an_accelerator(post):
    with pytest.raises(embmon.InvalidArgumentError, match="host memory"):
        post(OnlyDLPack(VALUES, device=2))


def test_a_tensor_that_requires_a_gradient_is_detached(post):
    class Tensor(OnlyDLPack):
        requires_grad = True

        def __dlpack__(self, **options):
            raise BufferError("use detach()")

        def detach(self):
            return OnlyDLPack(self.of)

    check(post(Tensor(VALUES)), VALUES)


def test_dlpack_memory_is_given_back(post):
    given = VALUES.copy()
    count = sys.getrefcount(given)
    post(OnlyDLPack(given))
    assert sys.getrefcount(given) == count


# ---- neither

def test_array_method(post):
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return VALUES.astype("f4")

    check(post(Tensor()), VALUES)


@pytest.mark.parametrize("given", [
    [1.0, 2.0], 1.0, "text", None, np.zeros(3, complex), np.zeros(3, object), np.array(["a"]),
    np.zeros(3, np.uint8), np.zeros(3, np.uint64), np.zeros(3, bool), b"bytes",
    np.zeros(3, ml_dtypes.float8_e4m3fn), np.zeros(2, "f4,i4"),
    array.array("L", [1])], ids=lambda given: str(getattr(given, "dtype", type(given).__name__)))
def test_what_is_not_monitored(given):
    with pytest.raises(embmon.DtypeError) as caught:
        _arrays.view(given)
    assert caught.value.code == -8


@pytest.mark.parametrize("given, dtype", [
    (VALUES, "f32"), (VALUES, "i64"), (VALUES.astype("f4"), "bf16"), (b"123", "f32"),
    (VALUES.astype("i4"), "bf16"), (np.zeros(3, "u2"), "u2"), (VALUES, "float8"), (VALUES, 3)])
def test_a_dtype_that_does_not_fit(given, dtype):
    with pytest.raises(embmon.DtypeError):
        _arrays.view(given, dtype)


@pytest.mark.parametrize("dtype", ["float32", "f32", np.float32, np.dtype("f4"), "torch.float32"])
def test_names_of_a_dtype(dtype):
    assert _arrays.dtype_code(dtype) == 1


def test_numpy_is_not_imported_for_others():
    import subprocess
    code = ("import sys, array, embmon\n"
            "c = embmon.Client(address='unix:/nonexistent', log=lambda line: None)\n"
            "assert c.post('x', 'gradient', 0, array.array('f', [1.0]))\n"
            "assert 'numpy' not in sys.modules\n"
            "c.close(0)\n")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30,
                   env=os.environ | {"PYTHONPATH": str(ROOT / "client" / "python")})
