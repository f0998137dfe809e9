"""The C API of libembmon in ctypes: the one file that repeats include/embmon/embmon.h.

tests/test_python_lib.py compares every name, value, field, offset and argument here with the
header, so a change there that is missing here is found by a test and not by a crash.
"""

import ctypes
import functools
import os
import pathlib
from ctypes import POINTER, c_char, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t
from ctypes import c_uint32, c_uint64, c_void_p

# ---- errors, as EMBMON_ERRORS; the sentences are asked of the library

ERRORS = {
    "EMBMON_EINVAL": -1,
    "EMBMON_ENOMEM": -2,
    "EMBMON_EADDRESS": -3,
    "EMBMON_ENAME": -4,
    "EMBMON_EUNKNOWN": -5,
    "EMBMON_EEXISTS": -6,
    "EMBMON_ELIMIT": -7,
    "EMBMON_EDTYPE": -8,
    "EMBMON_EDROPPED": -9,
    "EMBMON_ECLOSED": -10,
    "EMBMON_ETHREAD": -11,
    "EMBMON_ETOKEN": -12,
}

# ---- enums: the words of the Python API are the header's, without EMBMON_ and in lower case,
# but for the phases, which are called as in alerts.

DTYPES = {"f32": 1, "f64": 2, "f16": 3, "bf16": 4, "i8": 5, "i16": 6, "i32": 7, "i64": 8}
SIGNALS = {"gradient": 1, "activation": 2, "weight": 3, "update": 4, "ids": 5}
KINDS = {"other": 0, "embedding": 1, "dense": 2, "recurrent": 3, "conv": 4, "norm": 5,
         "attention": 6, "concatenate": 7, "merge": 8, "pooling": 9}
MASKS = {"unknown": 0, "none": 1, "used": 2, "passed": 3, "lost": 4, "missed": 5}
SHAPE_ROLES = {"input": 1, "output": 2, "gradient": 3}
PHASES = {"training": 1, "validation": 2, "inference": 3}
BUCKETS = {"exact": 0, "sampled": 1}
SEVERITIES = {"info": 1, "warning": 2, "critical": 3}
ALERT_STATES = {"resolved": 0, "pending": 1, "firing": 2}

NAME_MAX = 255
RANK_MAX = 8
INPUTS_MAX = 64
NO_PADDING = -(2**63)

# ---- structs

LOG = ctypes.CFUNCTYPE(None, c_void_p, c_char_p)


class Options(ctypes.Structure):
    """struct embmon_options"""

    _fields_ = [("size", c_uint32), ("rank", c_uint32), ("world_size", c_uint32),
                ("every", c_uint32), ("address", c_char_p), ("run", c_char_p), ("resume", c_int),
                ("log", LOG), ("log_context", c_void_p), ("token_file", c_char_p),
                ("buckets", c_int), ("overhead", c_double)]


class LayerInfo(ctypes.Structure):
    """struct embmon_layer_info"""

    _fields_ = [("size", c_uint32), ("kind", c_int32), ("path", c_char_p),
                ("activation", c_char_p), ("trainable", c_int32), ("sharded", c_int32),
                ("rows", c_uint64), ("columns", c_uint64), ("padding_id", c_int64),
                ("inputs", POINTER(c_int32)), ("input_count", c_uint32), ("rank", c_uint32),
                ("shape", POINTER(c_int64)), ("dtype", c_int32), ("tied", c_int32),
                ("mask", c_int32)]


class Loan(ctypes.Structure):
    """struct embmon_loan"""

    _fields_ = [("size", c_uint32), ("target", c_int32), ("signal", c_int32), ("dtype", c_int32),
                ("data", c_void_p), ("count", c_size_t), ("ids", c_void_p), ("rows", c_size_t),
                ("columns", c_size_t), ("id_dtype", c_int32)]


class Summary(ctypes.Structure):
    """struct embmon_summary"""

    _fields_ = [("size", c_uint32), ("negative_first", c_uint32), ("negative_length", c_uint32),
                ("positive_first", c_uint32), ("positive_length", c_uint32), ("count", c_uint64),
                ("parts", c_uint64), ("zeros", c_uint64), ("nans", c_uint64),
                ("positive_infinities", c_uint64), ("negative_infinities", c_uint64),
                ("min", c_double), ("max", c_double), ("sum", c_double),
                ("absolute_sum", c_double), ("square_sum", c_double),
                ("negative_counts", POINTER(c_uint64)), ("positive_counts", POINTER(c_uint64))]


class Notice(ctypes.Structure):
    """struct embmon_notice"""

    _fields_ = [("size", c_uint32), ("severity", c_int32), ("state", c_int32), ("phase", c_int32),
                ("step", c_int64), ("first_step", c_int64), ("time", c_double),
                ("value", c_double), ("threshold", c_double), ("baseline", c_double),
                ("detector", c_char * 32), ("layer", c_char * 256), ("variable", c_char * 64),
                ("signal", c_char * 16), ("reason", c_char * 16), ("summary", c_char * 512),
                ("hint", c_char * 1024)]


class ClientStats(ctypes.Structure):
    """struct embmon_client_stats"""

    _fields_ = [("size", c_uint32), ("connected", c_uint32), ("produced", c_uint64),
                ("acked", c_uint64), ("rejected", c_uint64), ("dropped", c_uint64),
                ("in_flight", c_uint64), ("skipped", c_uint64), ("reconnects", c_uint64),
                ("post_ns", c_uint64), ("overhead", c_double), ("every", c_uint32)]


class Shape(ctypes.Structure):
    """struct embmon_shape"""

    _fields_ = [("size", c_uint32), ("role", c_uint32), ("index", c_uint32), ("inputs", c_uint32),
                ("axis", c_int32), ("rank", c_uint32), ("dims", POINTER(c_int64)),
                ("dtype", c_int32)]


STRUCTS = {"embmon_options": Options, "embmon_layer_info": LayerInfo, "embmon_loan": Loan,
           "embmon_summary": Summary, "embmon_shape": Shape, "embmon_notice": Notice, "embmon_client_stats": ClientStats}

# ---- functions: name -> (result, arguments). A client is a void *; so is tensor data.

FUNCTIONS = {
    "embmon_strerror": (c_char_p, [c_int]),
    "embmon_version": (c_char_p, []),
    "embmon_open": (c_int, [POINTER(Options), POINTER(c_void_p)]),
    "embmon_close": (c_int, [c_void_p, c_int]),
    "embmon_layer": (c_int, [c_void_p, POINTER(LayerInfo)]),
    "embmon_variable": (c_int, [c_void_p, c_int, c_char_p, POINTER(c_int64), c_uint32, c_int]),
    "embmon_vocabulary": (c_int, [c_void_p, c_int, POINTER(c_char_p), c_size_t]),
    "embmon_threshold": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_double]),
    "embmon_ignore": (c_int, [c_void_p, c_char_p, c_char_p]),
    "embmon_post": (c_int, [c_void_p, c_int, c_int, c_int64, c_void_p, c_size_t, c_int]),
    "embmon_post_rows": (c_int, [c_void_p, c_int, c_int, c_int64, c_void_p, c_int, c_void_p,
                                 c_size_t, c_size_t, c_int]),
    "embmon_lend": (c_int, [c_void_p, c_int64, POINTER(Loan), c_size_t, POINTER(c_uint64)]),
    "embmon_returned": (c_uint64, [c_void_p]),
    "embmon_post_summary": (c_int, [c_void_p, c_int, c_int, c_int64, POINTER(Summary)]),
    "embmon_post_ids": (c_int, [c_void_p, c_int, c_int64, c_void_p, c_size_t, c_int, c_size_t,
                                c_void_p]),
    "embmon_post_fed": (c_int, [c_void_p, c_int, c_char_p, c_int64, c_void_p, c_size_t, c_int,
                                c_size_t]),
    "embmon_post_shape": (c_int, [c_void_p, c_int, c_int64, POINTER(Shape)]),
    "embmon_post_scalar": (c_int, [c_void_p, c_char_p, c_int64, c_double]),
    "embmon_gate_new": (c_int, [c_void_p, POINTER(c_void_p)]),
    "embmon_gate_open": (c_int, [c_void_p, c_int64]),
    "embmon_gate_shut": (c_int, [c_void_p]),
    "embmon_gate_next": (c_int, [c_void_p, c_uint64]),
    "embmon_tensorflow": (c_int, [c_void_p]),
    "embmon_wanted": (c_int, [c_void_p, c_int, c_int]),
    "embmon_step": (c_int, [c_void_p, c_int64]),
    "embmon_epoch": (c_int, [c_void_p, c_int64]),
    "embmon_phase": (c_int, [c_void_p, c_int]),
    "embmon_run": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(c_int64)]),
    "embmon_notice": (c_int, [c_void_p, POINTER(Notice)]),
    "embmon_stats": (c_int, [c_void_p, POINTER(ClientStats)]),
}

# ---- finding and loading it

_HERE = pathlib.Path(__file__).resolve().parent


def find(name: str) -> pathlib.Path | None:
    """A file the build makes ("libembmon.so", "embmond", "embmonctl"): the one carried beside this
    module, else, run from the repository, the one in its build folder; None where neither is."""
    for path in (_HERE / "carried" / name, _HERE.parents[2] / "build" / name):
        if path.is_file():
            return path
    return None


def library_path() -> pathlib.Path:
    """Where libembmon.so is: EMBMON_LIBRARY, else as find(). ImportError where it is nowhere."""
    given = os.environ.get("EMBMON_LIBRARY")
    path = pathlib.Path(given) if given else find("libembmon.so")
    if path is None:
        raise ImportError(
            "libembmon.so is not beside the Python package: install the package with `pip install "
            "./client/python` (or a wheel), run `make` in the repository, or set EMBMON_LIBRARY")
    return path


@functools.cache
def load() -> ctypes.CDLL:
    """libembmon with result and argument types declared; calls release the GIL. Loaded once per
    process. ImportError where it is missing or does not load."""
    path = library_path()
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise ImportError(f"{path} does not load: {error}") from error
    return library
