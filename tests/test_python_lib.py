"""What _lib.py repeats of the C API, compared with include/embmon/embmon.h itself.

The compiler is asked for values, sizes and offsets; the prototypes are read from the text.
"""

import ctypes
import os
import re
import subprocess
import sys
from ctypes import POINTER

import pytest

from harness import BUILD, ROOT

sys.path.insert(0, str(ROOT / "client" / "python"))
os.environ.setdefault("EMBMON_LIBRARY", str(BUILD / "libembmon.so"))
import embmon  # noqa: E402
from embmon import _lib, errors  # noqa: E402

TEXT = (ROOT / "include" / "embmon" / "embmon.h").read_text()
# Without comments and preprocessor lines.
CODE = re.sub(r"/\*.*?\*/", " ", TEXT, flags=re.S)
CODE = re.sub(r"^#.*?(?<!\\)$", "", CODE, flags=re.S | re.M)

C_TYPES = {"uint32_t": ctypes.c_uint32, "int32_t": ctypes.c_int32, "uint64_t": ctypes.c_uint64,
           "int64_t": ctypes.c_int64, "double": ctypes.c_double, "int": ctypes.c_int,
           "size_t": ctypes.c_size_t, "const char *": ctypes.c_char_p, "char *": ctypes.c_char_p,
           "const void *": ctypes.c_void_p, "const uint8_t *": ctypes.c_void_p, "void *": ctypes.c_void_p,
           "const int32_t *": POINTER(ctypes.c_int32), "const int64_t *": POINTER(ctypes.c_int64),
           "int64_t *": POINTER(ctypes.c_int64), "const uint64_t *": POINTER(ctypes.c_uint64),
           "uint64_t *": POINTER(ctypes.c_uint64), "const char const **": POINTER(ctypes.c_char_p),
           "struct embmon_client *": ctypes.c_void_p, "const struct embmon_client *": ctypes.c_void_p,
           "struct embmon_client **": POINTER(ctypes.c_void_p),
           "struct embmon_gate *": ctypes.c_void_p,
           "struct embmon_gate **": POINTER(ctypes.c_void_p)}
for _name, _struct in _lib.STRUCTS.items():
    C_TYPES[f"struct {_name} *"] = C_TYPES[f"const struct {_name} *"] = POINTER(_struct)


def declared(text):
    """("const char *", "name", "") of "const char *name"; the last is "[32]" of an array."""
    kind, name, size = re.fullmatch(r"\s*(.*?)\s*(\w+)\s*(\[\d+\])?\s*", text, re.S).groups()
    stars = "*" * kind.count("*")
    kind = " ".join(kind.replace("*", " ").split())
    return f"{kind} {stars}".strip(), name, size or ""


def structs_of_header():
    """name -> [(C type, field)]"""
    found = {}
    for name, body in re.findall(r"struct (embmon_\w+) \{(.*?)\};", CODE, re.S):
        fields = []
        for declaration in body.split(";")[:-1]:
            if "(*" in declaration:
                fields.append(("function", re.search(r"\(\*(\w+)\)", declaration).group(1)))
                continue
            first, *others = declaration.split(",")
            kind, field, size = declared(first)
            fields.append((kind + size, field))
            fields += [(kind + size, other.strip()) for other in others]
        found[name] = fields
    return found


def functions_of_header():
    """name -> (result, [argument])"""
    found = {}
    for text in re.findall(r"EMBMON_API\s+(.*?);", CODE, re.S):
        text = re.sub(r"EMBMON_NODISCARD|EMBMON_NONNULL\([^)]*\)", "", text)
        head, arguments = re.fullmatch(r"\s*(.*?)\((.*)\)\s*", text, re.S).groups()
        result, name, _ = declared(head)
        found[name] = result, [] if arguments.strip() == "void" else [
            declared(argument)[0] for argument in arguments.split(",")]
    return found


def enums_of_header():
    """name -> [EMBMON_...]; those written out."""
    return {name: re.findall(r"\b(EMBMON_\w+)\s*=", body)
            for name, body in re.findall(r"enum (\w*)\s*\{(.*?)\}", CODE, re.S)}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """{expression: value}, as the compiler sees the header."""
    expressions = [f"sizeof(struct {name})" for name in _lib.STRUCTS]
    for name, fields in structs_of_header().items():
        for _, field in fields:
            expressions += [f"offsetof(struct {name}, {field})",
                            f"sizeof(((struct {name} *)0)->{field})"]
    for names in enums_of_header().values():
        expressions += names
    expressions += re.findall(r"X\((EMBMON_E\w+)", TEXT)
    expressions.append("EMBMON_NO_PADDING")
    folder = tmp_path_factory.mktemp("layout")
    lines = "".join(f'printf("%lld\\n", (long long)({e}));\n' for e in expressions)
    (folder / "layout.c").write_text(
        "#include <stdio.h>\n#include <embmon/embmon.h>\nint main(void) {\n" + lines + "}\n")
    subprocess.run(["cc", "-w", f"-I{ROOT / 'include'}", "-o", folder / "layout",
                    folder / "layout.c"], check=True)
    values = subprocess.run([folder / "layout"], capture_output=True, text=True, check=True)
    return dict(zip(expressions, map(int, values.stdout.split()), strict=True))


def test_the_header_is_read_whole():
    """The reading itself: what it must find at least."""
    assert len(structs_of_header()) == TEXT.count("uint32_t size;")
    assert len(functions_of_header()) == len(re.findall(r"^EMBMON_API", TEXT, re.M))
    assert len(enums_of_header()["embmon_dtype"]) == 8


def test_every_struct_is_declared():
    assert set(structs_of_header()) == set(_lib.STRUCTS)


@pytest.mark.parametrize("name", sorted(_lib.STRUCTS))
def test_struct(name, compiled):
    ours, theirs = _lib.STRUCTS[name], structs_of_header()[name]
    assert [field for field, _ in ours._fields_] == [field for _, field in theirs]
    assert ctypes.sizeof(ours) == compiled[f"sizeof(struct {name})"]
    for (c_type, field), (_, our_type) in zip(theirs, ours._fields_):
        assert getattr(ours, field).offset == compiled[f"offsetof(struct {name}, {field})"], field
        assert getattr(ours, field).size == compiled[f"sizeof(((struct {name} *)0)->{field})"], field
        if c_type == "function":
            assert our_type is _lib.LOG
        elif c_type.startswith("char["):
            assert our_type is ctypes.c_char * int(c_type[5:-1]), field
        else:
            assert our_type is C_TYPES[c_type], field


def test_log_function():
    declaration = re.search(r"(\w+) \(\*log\)\((.*?)\)", CODE).groups()
    assert declaration == ("void", "void *log_context, const char *line")
    assert _lib.LOG._restype_ is None
    assert _lib.LOG._argtypes_ == (ctypes.c_void_p, ctypes.c_char_p)


def test_every_function_is_declared():
    assert set(functions_of_header()) == set(_lib.FUNCTIONS)


@pytest.mark.parametrize("name", sorted(_lib.FUNCTIONS))
def test_function(name):
    result, arguments = functions_of_header()[name]
    our_result, ours = _lib.FUNCTIONS[name]
    enum = {f"enum {enum}": ctypes.c_int for enum in enums_of_header()}
    assert our_result is C_TYPES[result]
    assert ours == [(C_TYPES | enum)[argument] for argument in arguments]
    loaded = getattr(_lib.load(), name)
    assert loaded.restype is our_result and loaded.argtypes == ours


@pytest.mark.parametrize("enum, ours", [
    ("embmon_dtype", _lib.DTYPES), ("embmon_signal", _lib.SIGNALS), ("embmon_kind", _lib.KINDS),
    ("embmon_mask", {f"mask_{word}": value for word, value in _lib.MASKS.items()}),
    ("embmon_buckets", {f"buckets_{word}": value for word, value in _lib.BUCKETS.items()}),
    ("embmon_shape_role", {f"shape_{word}": value for word, value in _lib.SHAPE_ROLES.items()}),
    ("embmon_severity", _lib.SEVERITIES), ("embmon_alert_state", _lib.ALERT_STATES)])
def test_enum(enum, ours, compiled):
    theirs = {name: compiled[name] for name in enums_of_header()[enum]}
    assert {f"EMBMON_{word.upper()}": value for word, value in ours.items()} == theirs


def test_phases_are_called_as_in_alerts(compiled):
    names = enums_of_header()["embmon_phase"]
    assert names == ["EMBMON_TRAIN", "EMBMON_VALIDATE", "EMBMON_INFER"]
    assert list(_lib.PHASES) == ["training", "validation", "inference"]
    assert [compiled[name] for name in names] == list(_lib.PHASES.values())


def test_every_enum_and_constant_is_known(compiled):
    assert set(enums_of_header()) == {"embmon_dtype", "embmon_signal", "embmon_kind",
                                      "embmon_buckets", "embmon_shape_role", "embmon_mask",
                                      "embmon_phase", "embmon_severity",
                                      "embmon_alert_state", "embmon_error", ""}
    assert enums_of_header()[""] == ["EMBMON_NAME_MAX", "EMBMON_RANK_MAX", "EMBMON_INPUTS_MAX"]
    for name in ("NAME_MAX", "RANK_MAX", "INPUTS_MAX", "NO_PADDING"):
        assert getattr(_lib, name) == compiled[f"EMBMON_{name}"]


def test_errors(compiled):
    names = re.findall(r"X\((EMBMON_E\w+)", TEXT)
    assert len(names) == len(set(names)) > 10
    assert _lib.ERRORS == {name: compiled[name] for name in names}


def test_one_exception_for_each_error():
    assert set(errors.BY_CODE) == set(_lib.ERRORS.values())
    assert len(embmon.EmbmonError.__subclasses__()) == len(_lib.ERRORS)
    for code, exception in errors.BY_CODE.items():
        made = errors.error(code, "what")
        assert type(made) is exception and made.code == code
        assert _lib.load().embmon_strerror(code).decode() in str(made)
        assert getattr(embmon, exception.__name__) is exception


def test_an_error_of_a_newer_library():
    made = errors.error(-999, "what")
    assert type(made) is embmon.EmbmonError and made.code == -999


def test_the_version_is_the_headers():
    assert embmon.__version__ == re.search(r'EMBMON_VERSION "(.*)"', TEXT).group(1)
    assert _lib.load().embmon_version().decode() == embmon.__version__


def test_a_library_that_is_not_there_is_one_clear_error(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import embmon; embmon.Client()"],
                          env=os.environ | {"EMBMON_LIBRARY": str(tmp_path / "no.so"),
                                            "PYTHONPATH": str(ROOT / "client" / "python")},
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {tmp_path}/no.so does not load")
