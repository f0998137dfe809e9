"""The documents say what the code does: options, calls, fields, numbers, tags, files, links."""
import fcntl
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import zipfile

import pytest

import readers

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
import monitored  # noqa: E402
from harness import SANITIZED  # noqa: E402

BUILD = monitored.BUILD
MAN = {name: ROOT / "docs" / name for name in ("embmond.8", "embmonctl.1", "libembmon.3",
                                            "embmond.yaml.5")}
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
HEADER = ROOT / "include" / "embmon" / "embmon.h"


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def without_comments(code):
    return re.sub(r"/\*.*?\*/", " ", code, flags=re.S)


def run(*command, status=0, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=120, **options)
    assert done.returncode == status, f"{command}: {done.stdout}{done.stderr}"
    return done


def tables(page, *heading):
    """The rows, as lists of cells, of each Markdown table whose heading is this."""
    found, rows, previous = [], None, ""
    for line in text(page).splitlines() + [""]:
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else None
        if cells and previous[:1] != "|":
            rows = found.append([]) or found[-1] if cells == list(heading) else None
        elif cells and rows is not None and not set(line) <= set("|-"):
            rows.append(cells)
        previous = line
    assert found, f"{page} has no table | {' | '.join(heading)} |"
    return found


def table(page, *heading):
    found = tables(page, *heading)
    assert len(found) == 1
    return found[0]


def code_span(cell):
    return re.fullmatch("`(.*)`", cell)[1]


# ---- man pages


@pytest.mark.parametrize("page", MAN)
def test_man_page_is_clean(page):
    lint = run("groff", "-mandoc", "-ww", "-Tutf8", "-z", MAN[page])
    assert lint.stdout + lint.stderr == ""
    shown = run("man", "-l", "--warnings", MAN[page], env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert shown.stderr == "" and "NAME" in shown.stdout
    source = text(MAN[page])
    sections = set(re.findall(r"^\.S[hs] (.*)", source, flags=re.M))
    assert set(re.findall(r"^\.Sx ([A-Z ]+?)(?: [.,) ]+)?$", source, flags=re.M)) <= sections


def man_options(page):
    """{-l, --logdir, ...} of a page: where they are explained, and wherever they are named."""
    def names(line):
        return {"--" + name if dashes else "-" + name
                for dashes, name in re.findall(r"\bFl (-)?([a-z][a-z-]*)", line)}

    lines = [line for line in text(MAN[page]).splitlines() if line.startswith(".")]
    explained = set().union(*(names(line) for line in lines if line.startswith(".It Fl")))
    named = set()
    for line in lines:
        line = re.sub(r"^(\.(?:Nm|Op)?.*\bFl) ([a-z]{2,})$", r"\1 " +
                      " Fl ".join(re.sub(r".*\bFl ", "", line)), line)  # .Op Fl qv is -q and -v
        line = re.sub(r" \| ", " Fl ", line)
        named |= names(line.replace("Fl Fl", "Fl"))
    return explained, named


def help_text(program):
    return run(BUILD / program, "--help").stdout


@pytest.mark.parametrize("program, page", [("embmond", "embmond.8"), ("embmonctl", "embmonctl.1")])
def test_options_of_help_and_man_page_are_the_same(program, page):
    rows = re.findall(r"^  +((?:-\w, )? *--[a-z].*?)(?:  |$)", help_text(program), flags=re.M)
    offered = set(re.findall(r"--?[a-z][a-z-]*", " ".join(rows)))
    explained, named = man_options(page)
    assert len(offered) >= 6
    assert explained == offered
    assert named == offered, "an option that does not exist, or one the synopsis lacks"


@pytest.mark.parametrize("program, page", [("embmond", "embmond.8"), ("embmonctl", "embmonctl.1")])
def test_exit_statuses_of_help_are_in_the_man_page(program, page):
    said = help_text(program).split("Exit status:")[1].split("\nSee ")[0]
    section = text(MAN[page]).split(".Sh EXIT STATUS")[1].split(".Sh")[0]
    listed = set(re.findall(r"\b\d+\b", " ".join(re.findall(r"^\.It (.*)", section, flags=re.M))))
    assert set(re.findall(r"\b\d+\b", said)) <= listed
    assert {"0", "64", "69"} <= listed


def test_keys_of_the_configuration_are_in_the_man_page():
    rows = re.findall(r'^    \{"(\w*)", "(\w+)", \w+', text("daemon/config_file.c"), flags=re.M)
    section = text(MAN["embmond.yaml.5"]).split(".Sh KEYS")[1].split(".Sh EXAMPLES")[0]
    named = {word for line in re.findall(r"^\.(?:It |Po )?Cm (.*)", section, flags=re.M)
             for word in re.findall(r"[\w-]+", line)}
    assert len(rows) > 25
    assert {name for _, name in rows} | {name for name, *_ in ceilings()} <= named
    words = re.findall(r'^static const char \*const \w+\[\] = \{(.*?)NULL',
                       text("daemon/config_file.c"), flags=re.M | re.S)
    assert set(re.findall(r'"([\w-]+)"', "".join(words))) <= named


def ceilings():
    """(name, least, most, default) of each row of the table, as it is written there."""
    rows = re.findall(r"^    ROW\((\w+), (.*?), (.*?), (.*)\)", text("daemon/ceilings.h"), flags=re.M)
    assert len(rows) >= 19
    return rows


def test_ranges_and_defaults_of_limits_are_in_the_man_page():
    page = text("docs/embmond.yaml.5").split(".It Cm limits\n")[1]
    units = {"KIB": 10, "MIB": 20, "GIB": 30}
    for name, *numbers in ceilings():
        low, high, standard = (
            int(digits) << units.get(unit, 0) if digits else enumerators("daemon")[unit]
            for unit, digits in (re.fullmatch(r"([A-Z_]*)\(?(\d*)\)?", n).groups() for n in numbers))
        said = re.search(rf"^\.It Cm {name}\n(.*?)(?=^\.(?:It|El))", page, flags=re.M | re.S)[1]
        assert re.search(rf"\b{low} \\\(en\s{high}\s\({standard}\)", said), name


def test_environment_variables_are_documented():
    code = "".join(path.read_text() for folder in ("daemon", "client", "proto")
                   for path in sorted((ROOT / folder).rglob("*.c")))
    read = set(re.findall(r'(?:[gs]etenv|environment|number_in)\("([A-Z_]+)"[,)]', code))
    documented = set()
    for page in MAN.values():
        for line in re.findall(r"^\.(?:It Ev|.*\bEv) (.*)", page.read_text(), flags=re.M):
            documented |= set(re.findall(r"\b[A-Z][A-Z_]{2,}\b", line))
    assert read == documented


# ---- the library


def declared():
    """{function: "int(struct embmon_client *, ...)" with its parameters' names} of embmon.h."""
    code = re.sub(r"^#.*?(?<!\\)\n", "", without_comments(HEADER.read_text()), flags=re.M | re.S)
    code = re.sub(r"EMBMON_(NODISCARD|NONNULL\([^)]*\))", "", code)
    found = re.findall(r"EMBMON_API\s+([\w\s*]+?)(\bembmon_\w+)\(([^)]*)\);", code)
    return {name: normal(f"{result} {name}({parameters})") for result, name, parameters in found}


def normal(prototype):
    return re.sub(r"\s*([*(),])\s*", r"\1", " ".join(prototype.split()))


def described():
    """The same of libembmon(3)'s synopsis."""
    synopsis = MAN["libembmon.3"].read_text().split(".Sh SYNOPSIS")[1].split(".Sh DESCRIPTION")[0]
    found = {}
    for result, name, body in re.findall(r'\.Ft "?(.*?)"?\n\.Fo (\w+)\n(.*?)\.Fc', synopsis,
                                         flags=re.S):
        parameters = ", ".join(re.findall(r'\.Fa "?(.*?)"?\n', body))
        found[name] = normal(f"{result} {name}({parameters})")
    return found


def test_calls_of_header_man_page_and_library_are_the_same():
    lines = run("nm", "-D", "--defined-only", BUILD / "libembmon.so").stdout.splitlines()
    exported = {line.split()[-1] for line in lines}
    assert exported == set(declared())
    assert declared() == described()
    explained = MAN["libembmon.3"].read_text().split(".Sh DESCRIPTION")[1]
    assert set(re.findall(r"^\.It Fn (\w+)", explained, flags=re.M)) == exported


def test_the_archive_shows_nothing_else():
    lines = run("nm", "-g", "--defined-only", BUILD / "libembmon.a").stdout.splitlines()
    names = {line.split()[-1] for line in lines if len(line.split()) == 3}
    assert names == set(declared())


def test_words_of_the_header_and_man_page_are_the_same():
    header = HEADER.read_text()
    words = set(re.findall(r"\bEMBMON_[A-Z][A-Z0-9_]*", header))
    words -= {"EMBMON_EMBMON_H", "EMBMON_API", "EMBMON_NODISCARD", "EMBMON_NONNULL",
              "EMBMON_ERRORS", "EMBMON_ERROR_ENUM", "EMBMON_NAME_MAX", "EMBMON_RANK_MAX",
              "EMBMON_INPUTS_MAX", "EMBMON_RUN", "EMBMON_ADDRESS", "EMBMON_E"}
    named = set(re.findall(r"\bEMBMON_[A-Z][A-Z0-9_]*", MAN["libembmon.3"].read_text()))
    assert words == named - {"EMBMON_RUN", "EMBMON_ADDRESS"}


def test_fields_of_public_structs_are_in_the_man_page():
    page = MAN["libembmon.3"].read_text()
    explained = set()
    for line in re.findall(r"^\.(?:It )?V[at] (.*)", page, flags=re.M):
        explained |= set(re.findall(r"\w+", line))
    bodies = re.findall(r"struct (embmon_\w+) \{(.*?)\n\};", without_comments(HEADER.read_text()),
                        flags=re.S)
    assert len(bodies) == 7
    for name, body in bodies:
        for field in re.findall(r"(\w+)(?:\[\w+\])?(?=[,;])", body.replace("(*log)", "log")):
            assert field in explained | {"size", "log_context", "line"}, f"{name}.{field}"


def example_of_the_header():
    """The example in embmon.h's opening comment, its dots filled in."""
    comment = HEADER.read_text().split("*/")[0]
    lines = [line[3:] for line in comment.splitlines() if line.startswith(" *    ")]
    code = "\n".join(lines)
    code = code.replace("< 0) ...", "< 0) return 1;").replace("step = 0; ...;", "step = 0; step < 30;")
    code = re.sub(r"^\s*\.\.\.$", "    ;", code, flags=re.M)
    assert "..." not in code
    code = code.replace("embmon_close(monitor, 2000)", "return embmon_close(monitor, 2000)")
    return ("#include <embmon/embmon.h>\nint main(void)\n{\n    int64_t step;\n"
            "    float gradient[4] = {1, 2, 3, 4}; size_t count = 4; double loss = 1;\n"
            f"{code}\n}}\n")


def test_version_is_in_the_changelog():
    version = re.search(r'EMBMON_VERSION "(.*)"', HEADER.read_text())[1]
    assert version in text("CHANGELOG.md")
    assert "Wire and ABI compatibility" in text("CHANGELOG.md")


# ---- make install


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The root that `make install DESTDIR= PREFIX=/usr` has filled."""
    root = tmp_path_factory.mktemp("root")
    with open(BUILD / ".install-lock", "w") as lock:  # one make at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        # As it was built: else this would link all of it anew, under the feet of other tests.
        run("make", "-s", "-C", ROOT, f"OUT={BUILD.relative_to(ROOT)}", f"DESTDIR={root}",
            f"SANITIZE={'address,undefined' if SANITIZED else ''}",
            "PREFIX=/usr", "install", env={k: v for k, v in os.environ.items()
                                           if k not in ("MAKEFLAGS", "MAKELEVEL", "SANITIZE")})
    return root


def test_install_puts_every_file_in_place(installed):
    version = re.search(r'EMBMON_VERSION "(.*)"', HEADER.read_text())[1]
    files = {str(path.relative_to(installed)) for path in installed.rglob("*")
             if not path.is_dir()}
    assert files == {
        "usr/bin/embmond", "usr/bin/embmonctl", "usr/include/embmon/embmon.h",
        "usr/lib/libembmon.a", "usr/lib/libembmon.so", "usr/lib/libembmon.so.0",
        f"usr/lib/libembmon.so.{version}", "usr/lib/pkgconfig/embmon.pc",
        "usr/share/man/man1/embmonctl.1", "usr/share/man/man3/libembmon.3",
        "usr/share/man/man5/embmond.yaml.5", "usr/share/man/man8/embmond.8",
        "usr/share/doc/embmond/embmond.yaml", "usr/lib/systemd/system/embmond.service",
        "usr/lib/systemd/system/embmond.socket"}
    for link in ("libembmon.so", "libembmon.so.0"):
        assert (installed / "usr/lib" / link).resolve().name == f"libembmon.so.{version}"
    for path in installed.rglob("usr/share/**/*.?"):
        assert path.stat().st_mode & 0o777 == 0o644


def pkg_config(root, *arguments):
    environment = {**os.environ, "PKG_CONFIG_LIBDIR": str(root / "usr/lib/pkgconfig"),
                   "PKG_CONFIG_SYSROOT_DIR": str(root), "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1",
                   "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"}
    return run("pkg-config", *arguments, "embmon", env=environment).stdout.split()


@pytest.mark.parametrize("way", ["shared", "static"])
def test_the_headers_example_runs_against_what_was_installed(installed, way, tmp_path):
    source, program = tmp_path / "train.c", tmp_path / "train"
    source.write_text(example_of_the_header())
    flags = pkg_config(installed, *(["--static"] if way == "static" else []), "--cflags", "--libs")
    if way == "static":
        flags = ["-l:libembmon.a" if flag == "-lembmon" else flag for flag in flags]
    run("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", source, "-o", program, *flags)
    needed = run("readelf", "-d", program).stdout
    assert ("libembmon.so.0" in needed) == (way == "shared")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("EMBMON")}
    environment["LD_LIBRARY_PATH"] = str(installed / "usr/lib")
    done = run(installed / "usr/bin/embmond", "-l", tmp_path / "runs", "--", program,
               env=environment)
    assert "run reviews, 30 steps:\nembmond:     nothing flagged" in done.stderr


# ---- the protocol


def enumerators(*folders):
    """{NAME: value} of all enumerations that give their values."""
    values = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            for body in re.findall(r"\benum(?:\s+\w+)?\s*\{([^}]*)\}",
                                   without_comments(path.read_text())):
                for name, value in re.findall(r"(\w+)\s*=\s*([\d\s<*]+?)\s*(?=,|$)", body.strip()):
                    values[name] = eval(value)  # digits, << and * alone
    return values


def test_frame_types_are_those_of_the_code():
    code = {name: value for name, value in enumerators("proto").items()
            if name.startswith("FRAME_") and re.search(rf"{name} = {value},", re.search(
                r"enum frame_type \{.*?\}", text("proto/frame.h"), flags=re.S)[0])}
    rows = table("docs/PROTOCOL.md", "type", "message", "from", "numbered", "what")
    drawn = {"FRAME_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", row[1]).upper(): int(row[0])
             for row in rows}
    assert drawn == code and len(code) == 19
    numbered = {row[1] for row in rows if row[3] == "yes"}
    assert numbered == {name for name, fields in proto_messages().items()
                        if fields[:1] == [(1, "sequence", "uint64")]} - {"Nack"}


def proto_messages():
    code = re.sub(r"//.*", "", text("proto/embmon.proto"))
    return {name: [(int(number), field, kind) for kind, field, number in re.findall(
        r"(?:repeated )?(\w+) (\w+) = (\d+);", body)]
        for name, body in re.findall(r"message (\w+) \{(.*?)\}", code, flags=re.S)}


def test_message_fields_are_those_of_the_code():
    page, drawn = text("docs/PROTOCOL.md"), {}
    for name, body in re.findall(r"^### (\w+)\n(.*?)(?=^##)", page, flags=re.M | re.S):
        drawn[name] = [(int(number), field, kind) for number, field, kind in re.findall(
            r"^\| (\d+) \| (\w+) \| (\w+) \|", body, flags=re.M)]
    assert drawn == proto_messages()


def test_nack_reasons_are_those_of_the_code():
    rows = table("docs/PROTOCOL.md", "reason", "name", "what")
    code = {name: value for name, value in enumerators("proto").items() if name[:5] == "NACK_"}
    assert {row[1]: int(row[0]) for row in rows} == code


def test_limits_are_those_of_the_code():
    code = enumerators("proto", "daemon", "client")
    rows = table("docs/PROTOCOL.md", "limit", "value", "what")
    assert {row[0]: int(row[1]) for row in rows} == {row[0]: code[row[0]] for row in rows}


def test_buckets_are_what_the_summary_makes_of_the_values():
    formats = {"f32": ("1", "<f"), "f64": ("2", "<d"), "f16": ("3", "<e"), "i8": ("5", "<b")}
    rows = table("docs/PROTOCOL.md", "value", "dtype", "sign", "index", "bucket from", "to")
    for value, dtype, sign, index, low, high in rows:
        number = int(value) if dtype == "i8" else float(value)
        code, layout = formats[dtype]
        done = subprocess.run([BUILD / "tools" / "summarize", code], capture_output=True,
                              input=struct.pack(layout, number), timeout=60, check=True)
        assert done.stdout.decode().splitlines()[1] == f"{sign} {index} 1", value
        edges = [2.0 ** 128 if at == 2040 else struct.unpack("<f", struct.pack("<I", at << 20))[0]
                 for at in (int(index), int(index) + 1)]
        assert edges == pytest.approx([float(low), float(high)], rel=1e-15), value


def test_the_frame_drawn_byte_by_byte_is_one():
    line = re.search(r"^(45 4d 42 4d  .*)$", text("docs/PROTOCOL.md"), flags=re.M)[1]
    done = subprocess.run([BUILD / "tools" / "wire"], input=bytes.fromhex(line),
                          capture_output=True, timeout=60, check=True)
    message = json.loads(done.stdout)
    assert (message["type"], message["produced"], message["dropped"]) == ("heartbeat", 3, 0)


# ---- detectors


def detectors():
    """{name: severity} of the table in detect.c."""
    rows = re.findall(r'\{\.name = "(\w+)",.*?\.severity = EMBMON_(\w+)',
                      text("daemon/detect/detect.c"), flags=re.S)
    return {name: severity.lower() for name, severity in rows}


def test_detectors_are_in_readme_and_man_page():
    rows = table("README.md", "detector", "fires when", "sick steps until it fires", "severity")
    assert {code_span(row[0]): row[3] for row in rows} == detectors(), "README.md, What is flagged"
    section = text("docs/embmond.8").split(".Sh DETECTORS")[1].split(".Sh SIGNALS")[0]
    listed = dict(re.findall(r"^\.It Cm (\w+)\n(\w+):", section, flags=re.M))
    assert listed == detectors(), "docs/embmond.8, DETECTORS"


def test_thresholds_are_those_of_the_code():
    body = re.search(r"limits_default = \{(.*?)\};", text("daemon/detect/detect.c"), flags=re.S)[1]
    code = {name: float(value) for name, value in re.findall(r"\.(\w+) = ([\d.e-]+),", body)}
    rows = table("docs/ARCHITECTURE.md", "limit", "default", "of")
    assert {code_span(row[0]): float(row[1]) for row in rows} == code, "the table of limits"
    rows = table("README.md", "detector", "fires when", "sick steps until it fires", "severity")
    fires = {code_span(row[0]): row[1] for row in rows}
    keys = re.findall(r'^ +KEY\("(\w+)", "\w+", (\w+)\)', text("daemon/detect/detect.c"), flags=re.M)
    assert {name for _, name in keys} == set(code) - {"update_elements"}, "rows of limit_keys"
    for detector, name in keys:
        numbers = [float(n) for n in re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", fires.get(detector, ""))]
        assert code[name] in numbers, f"{code[name]:g} ({name}) in the README's {detector}"


def test_holds_are_those_of_the_code():
    code = {}
    for name, clauses in re.findall(r'\.name = "(\w+)".*?\.clauses = \{(\{.*?\})\}\}',
                                    text("daemon/detect/detect.c"), flags=re.S):
        code[name] = sorted(int(hold) for pair in re.findall(r"\w+, (\d+), (\d+)", clauses)
                            for hold in pair if hold != "0")
    rows = table("README.md", "detector", "fires when", "sick steps until it fires", "severity")
    said = {code_span(row[0]): sorted(int(hold) for hold in re.findall(
        r"(?<!of )\b\d+\b", row[2])) for row in rows}
    assert said == code, "README.md, What is flagged"


def formats_of(call):
    """Regular expressions of all texts given to finding_hint() or finding_summary()."""
    code = "".join(path.read_text() for path in sorted((ROOT / "daemon/detect").glob("*.c")))
    code += re.search(r"EXPLODING_HINT\[\] =(.*?);", code, flags=re.S)[0]
    for body in re.findall(rf"{call}\(\s*finding,\s*(.*?)\);", code, flags=re.S):
        literals = re.findall(r'"((?:[^"\\]|\\.)*)"|\b(PRIu64)\b', body)
        whole = "".join("lu" if name else literal for literal, name in literals)
        parts = re.split(r"%[.\d]*(?:lu|[sfgd])", whole)
        yield ".+?".join(re.escape(part.replace("%%", "%")) for part in parts)


def test_the_readmes_alert_is_what_the_code_says():
    excerpt = re.search(r"  ALERT critical: (\w+), .*?step \d+\n(.*?)    hint: (.*?)```",
                        text("README.md"), flags=re.S)
    summary, hint = (" ".join(part.split()) for part in excerpt.groups()[1:])
    assert excerpt[1] in detectors()
    assert any(re.fullmatch(pattern, summary) for pattern in formats_of("finding_summary"))
    assert any(re.fullmatch(pattern, hint) for pattern in formats_of("finding_hint"))


def test_the_worked_detector_compiles(tmp_path):
    """Put where the text says, with the warnings of the Makefile."""
    section = text("docs/ARCHITECTURE.md").split("## Adding a detector")[1].split("\n## ")[0]
    function, row = re.findall(r"```c\n(.*?)```", section, flags=re.S)
    folder = tmp_path / "daemon" / "detect"
    folder.mkdir(parents=True)

    def span(pattern):
        return re.search(f"`({pattern})`", section)[1]

    def put(name, *pieces):
        """A copy of the file with each piece before the line that begins with `at`."""
        code = text(f"daemon/detect/{name}")
        for at, new in pieces:
            assert code.count(at) == 1, f"{name}: {at!r}"
            code = code.replace(at, f"{new}\n{at}")
        (folder / name).write_text(code)

    put("detect.h", ("};\nextern const struct limits limits_default;", span(r"double \w+;")))
    put("families.h", ("/* embedding.c */", span(r"detect_fn \w+;")))
    put("activation.c")
    with open(folder / "activation.c", "a", encoding="utf-8") as file:
        file.write(function)
    put("detect.c", ("};\n\n#define KEY(", span(r"\.\w+ = [\d.e-]+") + ","),
        ("};\n#undef KEY", span(r"KEY\(.*?\)") + ","),
        ("};\nconst size_t detector_count", row))
    warnings = re.search(r"^WARNINGS := ((?:.*\\\n)*.*)", text("Makefile"), flags=re.M)[1]
    run("gcc", "-std=c11", "-D_GNU_SOURCE", *warnings.replace("\\\n", " ").split(),
        "-fsyntax-only", f"-I{tmp_path}", f"-I{ROOT}", f"-I{ROOT}/include",
        folder / "activation.c", folder / "detect.c")


# ---- what a run leaves, and what embmonctl says of it

TRAINER = r"""
#include <embmon/embmon.h>
#include <math.h>
int main(void)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_client *monitor;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    options.run = "documented";
    if (embmon_open(&options, &monitor) < 0)
        return 1;
    info.path = "table", info.kind = EMBMON_EMBEDDING, info.rows = 8, info.columns = 2;
    info.padding_id = 7;
    const int32_t ids[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    int table = embmon_layer(monitor, &info), kernel;
    info = (struct embmon_layer_info)EMBMON_LAYER_INFO_INIT;
    info.path = "dense";
    kernel = embmon_variable(monitor, embmon_layer(monitor, &info), "kernel", NULL, 0, 0);
    for (int64_t step = 0; step < 40; step++) {
        float data[16] = {1, 2, 3, step == 30 ? NAN : 4};
        for (int signal = EMBMON_GRADIENT; signal <= EMBMON_UPDATE; signal++) {
            if (signal == EMBMON_GRADIENT)
                embmon_post_rows(monitor, table, EMBMON_GRADIENT, step, ids, EMBMON_I32, data, 8, 2,
                                 EMBMON_F32);
            else
                embmon_post(monitor, table, (enum embmon_signal)signal, step, data, 16, EMBMON_F32);
            embmon_post(monitor, kernel, (enum embmon_signal)signal, step, data, 3, EMBMON_F32);
        }
        embmon_post_ids(monitor, table, step, ids, 8, EMBMON_I32, 4, NULL);
        embmon_post_scalar(monitor, "loss", step, step == 30 ? (double)NAN : 1);
        embmon_post_scalar(monitor, "learning_rate", step, 1);
        embmon_post_scalar(monitor, "batch_size", step, 1);
        embmon_post_scalar(monitor, "clipped_fraction", step, 1);
        embmon_post_scalar(monitor, "perplexity", step, 1);
        /* As the library does it where it was given a share. */
        embmon_post_scalar(monitor, "embmond/overhead_percent", step, 1);
        embmon_post_scalar(monitor, "embmond/sampled_every", step, 1);
        embmon_step(monitor, step);
    }
    return embmon_close(monitor, 5000);
}
"""


def first_object(address):
    """The first line of embmonctl --json watch."""
    with subprocess.Popen([BUILD / "embmonctl", "--json", "--address", address, "watch"],
                          stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        process.terminate()
    return json.loads(line)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """{what: [objects]} of embmonctl, and the logdir."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "train.c").write_text(TRAINER)
    run("gcc", "-std=c11", f"-I{ROOT}/include", folder / "train.c", "-o", folder / "train",
        BUILD / "libembmon.a", "-lprotobuf-c", "-lz", "-lm", "-pthread")
    with monitored.Daemon(folder / "runs") as daemon:
        run(folder / "train", env=monitored.environment(daemon.address))
        said = {what: [json.loads(line) for line in run(
            BUILD / "embmonctl", "--json", "--address", daemon.address, what).stdout.splitlines()]
            for what in ("status", "runs", "layers", "alerts")}
        said["watch"] = [first_object(daemon.address)]
        daemon.finish()
    return said, folder / "runs"


@pytest.mark.parametrize("what", ["status", "runs", "layers", "watch"])
def test_fields_of_embmonctl_are_those_of_its_man_page(watched, what):
    section = text("docs/embmonctl.1").split(f".Ss {what}\n")[1].split(".Ss")[0]
    assert [list(each) for each in watched[0][what]] == \
        [re.findall(r"^\.It Va (\w+)", section, flags=re.M)] * len(watched[0][what])
    assert watched[0][what]


def test_fields_of_an_alert_are_those_of_the_man_page(watched):
    section = text("docs/embmond.8").split(".Sh ALERTS\n")[1].split(".Sh")[0]
    fields = re.findall(r"^\.It Va (\w+)", section, flags=re.M)
    lines = (watched[1] / "documented/embmon/alerts.jsonl").read_text().splitlines()
    assert len(lines) >= 4
    assert [list(json.loads(line)) for line in lines] == [fields] * len(lines)
    assert [list(each) for each in watched[0]["alerts"]] == \
        [[*fields, "fired", "fired_severity"]] * len(watched[0]["alerts"])


def test_tags_are_those_of_the_table(watched):
    run_read = readers.both(watched[1])["documented/embmon"]
    known = {"variable": "(?:table|dense/kernel|dense)", "layer": "(?:table|dense)", "name": r"\w+",
             "detector": "(?:" + "|".join(detectors()) + ")"}
    series = {"scalar": run_read.scalars, "histogram": run_read.histograms,
              "text": run_read.texts}
    written = {(kind, tag) for kind, tags in series.items() for tag in tags}
    # The layout of a page that our readers do not ask for is looked for in the bytes.
    layout, files = "custom_scalars__config__", watched[1].rglob("*tfevents*")
    if any(layout.encode() in path.read_bytes() for path in files):
        written.add(("layout", layout))
    matched = set()
    for cell, kind, _ in table("docs/ARCHITECTURE.md", "tag", "kind", "what"):
        pattern = re.sub(r"<(\w+)>", lambda place: known[place[1]], code_span(cell))
        hits = {(k, tag) for k, tag in written if k == kind and re.fullmatch(pattern, tag)}
        assert hits, f"{cell} was not written"
        matched |= hits
    assert written - matched == set(), "not in the table"


def test_the_dashboard_leaves_to_the_reader_what_tensorboard_does():
    import tensorboard
    from tensorboard.plugins.custom_scalar import layout_pb2
    fields = {field.name for kind in layout_pb2.DESCRIPTOR.message_types_by_name.values()
              for message in (kind, *kind.nested_types) for field in message.fields}
    ours = set(re.findall(r"(\w+) = \d+;", text("daemon/tensorboard/layout.proto")))
    assert fields == ours, "if charts can say more by now, the dashboard may choose its axes"
    button = re.search(r"press \*(.*?)\* below a chart", text("README.md"))[1]
    with zipfile.ZipFile(pathlib.Path(tensorboard.__file__).parent / "webfiles.zip") as pages:
        assert f'title="{button}"' in pages.read("index.js").decode()


# ---- the pages themselves


def anchors(page):
    """GitHub's names of a page's headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)", page.read_text(), flags=re.M)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        at = (page.parent / path).resolve() if path else page
        assert at.exists(), target
        assert not anchor or anchor in anchors(at), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    for name in re.findall(r"(?<![\w/])(?:proto|daemon|client|tests|examples|docs|include)/(?:[\w./-]|\[ch\])+",
                           page.read_text()):
        for ending in ("c", "h") if name.endswith(".[ch]") else ("",):
            path = name.removesuffix("[ch]").rstrip(".") + ("." + ending if ending else "")
            assert (ROOT / path).exists() or list(ROOT.glob(path + ".c")), path


def test_make_targets_that_are_named_are_there():
    targets = set(re.findall(r"^([\w-]+):", text("Makefile"), flags=re.M))
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z][\w-]*)", page.read_text(), flags=re.M):
            assert target in targets, f"{page.name}: make {target}"


def test_every_module_is_in_the_architecture():
    listed = []
    for rows in tables("docs/ARCHITECTURE.md", "file", "what it does"):
        for cell, _ in rows:
            name = code_span(cell)
            listed += [name.replace("[ch]", ending) for ending in "ch"] \
                if name.endswith("[ch]") else [name]
    there = {str(path.relative_to(ROOT)) for folder in ("proto", "client", "daemon")
             for path in (ROOT / folder).rglob("*.[ch]")}
    assert sorted(listed) == sorted(there)


def test_every_test_of_the_promises_is_in_the_architecture():
    rows = table("docs/ARCHITECTURE.md", "file", "what is done", "what must hold")
    there = {str(path.relative_to(ROOT)) for folder in ("faults", "long")
             for path in (ROOT / "tests" / folder).glob("test_*.py")}
    assert sorted(code_span(row[0]) for row in rows) == sorted(there)


def test_what_is_promised_names_tests_that_are_there():
    for promise, commands, measured in table("README.md", "promise", "what shows it", "measured"):
        assert promise and measured
        files = re.findall(r"tests/test_\w+\.py", commands)
        files += [f"tests/faults/test_{only}.py" for only in re.findall(r"ONLY=(\w+)", commands)]
        assert files, commands
        for file in files:
            assert (ROOT / file).exists(), file
        for word in re.findall(r" -k (\w+)", commands):
            assert any(re.search(rf"def test_\w*{word}", text(file)) for file in files), word


def test_the_readmes_code_is_that_of_the_example():
    block = re.search(r"```c\n(.*?)```", text("README.md"), flags=re.S)[1]
    example = re.sub(r"\s+", " ", text("examples/skipgram.c"))
    for line in without_comments(block).splitlines():
        assert re.sub(r"\s+", " ", line.strip()) in example, line


def test_the_readme_has_measured_verdicts():
    block = text("README.md").partition("<!-- verdicts: begin -->")[2].partition("<!-- verdicts: end -->")[0]
    assert re.search(r"Measured on 20\d\d-\d\d-\d\d: \d+ of \d+ faulty trainings .*; \d+ of \d+ healthy", block)
    heading = re.search(r"HEADING = \((.*?)\)\n", text("tests/verdicts/table.py"), flags=re.S)[1]
    rows = table("README.md", *re.findall(r'"([^"]+)"', heading))
    assert len(rows) >= 7
    for row in rows:
        if row[0].strip("`") in detectors():
            assert all(re.fullmatch(r"\d+ of \d+|-", cell) for cell in row[1:3])
            assert re.fullmatch(r"\d+ of \d+, \d+ of \d+", row[4])
        else:
            assert row[1].startswith("not in this embmond")
