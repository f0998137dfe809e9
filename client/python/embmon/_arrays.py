"""Where the elements of an array are: address, count and dtype, without a copy where possible.

numpy arrays, anything with the buffer protocol (array.array, memoryview, bytes, ...), anything
with DLPack (torch, JAX, ...), and anything else numpy can make an array of through __array__.
numpy itself is only used where the caller has imported it or a copy needs it.
"""

import ctypes
import sys
from typing import Any

from . import _lib
from ._arguments import INT64_MAX
from .errors import DtypeError, InvalidArgumentError

SIZES = {_lib.DTYPES[name]: size for name, size in
         {"f32": 4, "f64": 8, "f16": 2, "bf16": 2, "i8": 1, "i16": 2, "i32": 4, "i64": 8}.items()}

_LONG_NAMES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16",
               "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64"}

# Of the struct module, in native byte order; sizes of a Linux on 64 bits.
_FORMATS = {"f": "f32", "d": "f64", "e": "f16", "b": "i8", "h": "i16", "i": "i32", "l": "i64",
            "q": "i64", "n": "i64"}
_UNSIGNED = {"B": 1, "c": 1, "H": 2, "I": 4, "L": 8, "Q": 8, "N": 8, "?": 1}

_DLPACK_CODES = {(0, 8): "i8", (0, 16): "i16", (0, 32): "i32", (0, 64): "i64", (2, 16): "f16",
                 (2, 32): "f32", (2, 64): "f64", (4, 16): "bf16"}
_DLPACK_HOST = (1, 3, 11)  # kDLCPU, kDLCUDAHost, kDLROCMHost

# numpy's flags: C-contiguous and aligned.
_PLAIN = 0x1 | 0x100


# (address, count, dtype, owner): count elements of a dtype (a value of _lib.DTYPES) at the address,
# None for nothing, as long as the owner lives. A plain tuple: posts are many.
View = tuple[int | None, int, int, Any]


def dtype_code(dtype: Any) -> int:
    """A value of _lib.DTYPES for "f32", "float32", numpy.float32, a numpy dtype, "torch.float32", a
    torch dtype, .... DtypeError for others."""
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    name = name.rpartition(".")[2]
    code = _lib.DTYPES.get(_LONG_NAMES.get(name, name))
    if code is None:
        raise DtypeError(f"{name!r} is not a dtype that is monitored: {', '.join(_LONG_NAMES)}")
    return code


def is_dtype(name: Any) -> bool:
    """Does dtype_code() know this name?"""
    return _LONG_NAMES.get(name, name) in _lib.DTYPES


def _judge(found: int | None, size: int, integer: bool, wanted: Any, what: str) -> int:
    """The dtype to use for elements whose own is `found` (None: not one of ours): theirs, or the
    wanted one where they are integers of its size, such as a uint16 view of bfloat16."""
    if wanted is None:
        if found is None:
            raise DtypeError(f"{what} is not a dtype that is monitored: "
                             f"{', '.join(_LONG_NAMES)} (or give dtype= for the bits of one)")
        return found
    code = dtype_code(wanted)
    if code != found and not (integer and SIZES[code] == size):
        raise DtypeError(f"dtype={wanted!r} is not what an array of {what} holds")
    return code


# ---- numpy

def is_numpy(array: Any) -> bool:
    """Is it a numpy array? Without importing numpy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(array, numpy.ndarray)


_codes: dict[Any, int] = {}  # of numpy's dtypes, as met: their names are slow to ask for
_char = ctypes.c_char


def numpy_view(array: Any, dtype: Any = None) -> View:
    """Of a numpy array. One that is not C-contiguous, not aligned or not in native byte order is
    copied once."""
    code = _codes.get(array.dtype) if dtype is None else None
    if code is None:
        return _numpy_view_slow(array, dtype)
    if array.flags.num & _PLAIN != _PLAIN:
        array = array.copy()
    try:
        address = ctypes.addressof(_char.from_buffer(array))  # six times as fast as .ctypes.data
    except (TypeError, ValueError, BufferError):  # read-only, empty, bfloat16
        address = array.ctypes.data
    return address, array.size, code, array


def _numpy_view_slow(array: Any, dtype: Any) -> View:
    own = array.dtype
    name = _LONG_NAMES.get(own.name)
    found = _lib.DTYPES.get(name) if name else None
    code = _judge(found, own.itemsize, own.kind in "iu", dtype, own.name)
    if not own.isnative:
        array = array.astype(own.newbyteorder("="))
    elif code == found:
        _codes[own] = code
    if array.flags.num & _PLAIN != _PLAIN:
        array = array.copy()
    return array.ctypes.data, array.size, code, array


# ---- buffer protocol

class _Buffer(ctypes.Structure):
    """Py_buffer"""

    _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("len", ctypes.c_ssize_t),
                ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
                ("format", ctypes.c_char_p), ("shape", ctypes.c_void_p),
                ("strides", ctypes.c_void_p), ("suboffsets", ctypes.c_void_p),
                ("internal", ctypes.c_void_p)]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes, _get_buffer.restype = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int], \
    ctypes.c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes, _release_buffer.restype = [ctypes.c_void_p], None


class _Held:
    """A buffer held until this object goes; ctypes' own from_buffer() refuses read-only ones."""

    def __init__(self, memory: memoryview) -> None:
        self._buffer = _Buffer()
        _get_buffer(memory, ctypes.addressof(self._buffer), 0)
        self.address: int | None = self._buffer.buf

    def __del__(self) -> None:
        _release_buffer(ctypes.addressof(self._buffer))


def _buffer_view(memory: memoryview, dtype: Any) -> View:
    letter = memory.format
    if letter[:1] in ("@", "=", "<"):  # little-endian is native on all we support
        letter = letter[1:]
    size = memory.itemsize
    name = _FORMATS.get(letter)
    found = _lib.DTYPES.get(name) if name else None
    if found and SIZES[found] != size:  # "<l" has 4 bytes
        found = _lib.DTYPES.get(f"i{8 * size}")
    if letter in ("B", "c") and dtype is not None:  # plain bytes: of any dtype that divides them
        code = dtype_code(dtype)
        if memory.nbytes % SIZES[code]:
            raise DtypeError(f"{memory.nbytes} bytes are no whole number of {dtype!r}")
    else:
        code = _judge(found, size, letter in _UNSIGNED or letter in "bhilqn", dtype,
                      f"buffer format {memory.format!r}")
    count = memory.nbytes // SIZES[code]
    if count == 0:
        return (None, 0, code, memory)
    if memory.c_contiguous:
        held = _Held(memory)
        if held.address is not None and held.address % SIZES[code] == 0:
            return (held.address, count, code, held)
    copy = ctypes.create_string_buffer(memory.tobytes(), memory.nbytes)
    return (ctypes.addressof(copy), count, code, copy)


# ---- DLPack

class _DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32),
                ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8),
                ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]


_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.argtypes, _capsule_pointer.restype = [ctypes.py_object, ctypes.c_char_p], \
    ctypes.c_void_p


def _is_contiguous(shape: list[int], strides: list[int]) -> bool:
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides)):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def _contiguous_copy(array: Any, tensor: _DLTensor, shape: list[int], strides: list[int],
                     size: int) -> Any:
    """The elements in order, as unsigned integers: copying bits is the same for every dtype."""
    try:
        import numpy
    except ImportError:
        raise InvalidArgumentError(f"{type(array).__name__}: not contiguous; make it so") from None
    if any(stride < 0 for stride in strides):
        raise InvalidArgumentError(f"{type(array).__name__}: a negative stride; make it contiguous")
    extent = size * (1 + sum((n - 1) * stride for n, stride in zip(shape, strides)))
    memory = (ctypes.c_char * extent).from_address(tensor.data + tensor.byte_offset)
    return numpy.ndarray(shape, f"u{size}", memory, strides=[size * s for s in strides]).copy()


def _dlpack_view(array: Any, dtype: Any) -> View:
    device = array.__dlpack_device__()[0]
    if int(device) not in _DLPACK_HOST:
        raise InvalidArgumentError(f"{type(array).__name__}: it is not in host memory (DLPack "
                                   f"device {int(device)}): copy it to the CPU first")
    if getattr(array, "requires_grad", False):
        array = array.detach()
    capsule = array.__dlpack__()  # not consumed: its own destructor gives the memory back
    tensor = _DLTensor.from_address(_capsule_pointer(capsule, b"dltensor"))
    name = _DLPACK_CODES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    code = _judge(_lib.DTYPES.get(name) if name else None, tensor.bits // 8, tensor.code in (0, 1),
                  dtype, f"DLPack type {tensor.code}, {tensor.bits} bits")
    shape = tensor.shape[:tensor.ndim]
    count = 1
    for length in shape:
        count *= length
    if count == 0:
        return (None, 0, code, capsule)
    strides = tensor.strides[:tensor.ndim] if tensor.strides else None
    if strides is not None and not _is_contiguous(shape, strides):
        copy = _contiguous_copy(array, tensor, shape, strides, SIZES[code])
        return (copy.ctypes.data, count, code, copy)
    return (tensor.data + tensor.byte_offset, count, code, capsule)


# ---- any of them

def view(array: Any, dtype: Any = None) -> View:
    """The elements of `array`, in C order. dtype: how to read integers of the same size (or plain
    bytes), such as "bf16" for a uint16 view. No copy for what is contiguous, aligned and of native
    byte order; one copy otherwise.

    DtypeError: not an array, or of a dtype that is not monitored. InvalidArgumentError: not in
    host memory."""
    if is_numpy(array):
        return numpy_view(array, dtype)
    try:
        memory = memoryview(array)
    except (TypeError, ValueError, BufferError):
        pass  # no buffer protocol, or none for this dtype (bfloat16)
    else:
        return _buffer_view(memory, dtype)
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        return _dlpack_view(array, dtype)
    if hasattr(array, "__array__"):
        import numpy
        return numpy_view(numpy.asarray(array), dtype)
    raise DtypeError(f"{type(array).__name__} is not an array: give a numpy array, or an object "
                     "with the buffer protocol or DLPack")


# ---- ids and masks

# The signed dtype that holds the next larger range; of uint64 what is beyond it is cut to its end.
_SIGNED = {1: "int16", 2: "int32", 4: "int64", 8: "int64"}


def _numpy_of(array: Any, what: str) -> Any:
    try:
        import numpy
    except ImportError:
        raise DtypeError(f"{type(array).__name__}: {what} of this dtype need numpy") from None
    if not is_numpy(array) and hasattr(array, "__dlpack_device__"):
        if int(array.__dlpack_device__()[0]) not in _DLPACK_HOST:
            raise InvalidArgumentError(f"{type(array).__name__}: it is not in host memory: copy it "
                                       "to the CPU first")
    return numpy.asarray(memoryview(array) if isinstance(array, (bytes, bytearray)) else array)


def ids_view(array: Any) -> View:
    """As view(), of ids: bool and unsigned integers too, converted to signed ones that hold them
    (ids from 2^63 on become 2^63 - 1, outside every table like them). Plain bytes are uint8."""
    try:
        return view(array)
    except DtypeError:
        if isinstance(array, (list, tuple)):
            raise
        made = _numpy_of(array, "ids")
        if made.dtype.kind == "b":
            return numpy_view(made.astype("int8"))
        if made.dtype.kind != "u":
            raise
    if made.dtype.itemsize == 8:
        made = made.clip(max=made.dtype.type(INT64_MAX))
    return numpy_view(made.astype(_SIGNED[made.dtype.itemsize]))


def last_dimension(array: Any) -> int:
    """The length of the last of two or more dimensions; 0: there are fewer."""
    shape = getattr(array, "shape", None)
    if shape is None:
        try:
            shape = memoryview(array).shape
        except TypeError:
            return 0
    return int(shape[-1]) if len(shape) > 1 else 0


def mask_view(mask: Any, count: int) -> tuple[int | None, Any]:
    """(address of count bytes, owner): 0 for what is masked. A copy for all but contiguous bytes and
    bool. InvalidArgumentError where it has not as many elements."""
    try:
        memory = memoryview(mask)
        plain = memory.format in ("?", "B", "b") and memory.c_contiguous
    except (TypeError, ValueError, BufferError):
        plain = False
    if not plain:
        memory = memoryview((_numpy_of(mask, "masks") != 0).tobytes())
    if memory.nbytes != count:
        raise InvalidArgumentError(f"a mask of {memory.nbytes} elements for {count} ids")
    if count == 0:
        return None, memory
    held = _Held(memory)
    return held.address, held
