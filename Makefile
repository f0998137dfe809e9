# The only build file for C. `make`, `make demo`, `make test`, `make install PREFIX= DESTDIR=`,
# `make wheel` (the Python package, to build/wheel); SANITIZE=address,undefined builds the same into
# build/sanitize. Sources are found by wildcard, header dependencies by the compiler; all outputs
# are in build/.

PREFIX  ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC      := gcc
endif
VERSION := $(shell sed -n 's/.*EMBMON_VERSION "\(.*\)"/\1/p' include/embmon/embmon.h)

# V=1 shows the commands.
ifeq ($(V),)
say      = @printf '  %-4s %s\n' $(1) $@;
else
say      =
endif

SANITIZE ?=
PORTABLE ?=
OUT      := $(if $(filter thread,$(SANITIZE)),build/thread,$(if $(SANITIZE),build/sanitize,$(if $(PORTABLE),build/portable,build)))

WARNINGS := -Wall -Wextra -Werror -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla \
            -Wformat=2 -Wnull-dereference
CFLAGS   ?= -O2 -g
BASE     := -std=c11 -D_GNU_SOURCE -I. -Iinclude -I$(OUT)/gen -MMD -MP -fvisibility=hidden \
            -fno-math-errno -ffp-contract=off -fstack-protector-strong -fstack-clash-protection -pthread
ifneq ($(SANITIZE),)
BASE     += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS  += -fsanitize=$(SANITIZE)
else
BASE     += -D_FORTIFY_SOURCE=2
LDFLAGS  += -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
endif
ALL_CFLAGS = $(BASE) $(WARNINGS) $(CFLAGS)

CLIENT_LIBS := -lprotobuf-c -lz -lm
DAEMON_LIBS := -luv -lyaml -ljansson -lprotobuf-c -lz -lm

# PORTABLE=1, for the Python wheel: nothing is needed but the C library. Debian's archives are made
# for executables; hidden, their symbols bind within libembmon.so, and then it may have them too.
ifneq ($(PORTABLE),)
archives    = $(patsubst -l:libuv.a,-l:libuv_a.a,$(patsubst -l%,-l:lib%.a,$(filter-out -lm,$(1)))) -lm
CLIENT_LIBS := $(call archives,$(CLIENT_LIBS)) -Wl,--exclude-libs,ALL -Wl,-z,text
DAEMON_LIBS := $(call archives,$(DAEMON_LIBS))
LDFLAGS     += -Wl,--strip-debug
endif

PROTO  := $(wildcard proto/*.c)
CLIENT := $(wildcard client/*.c)
MAINS  := daemon/main.c daemon/embmonctl.c
DAEMON := $(filter-out $(MAINS),$(wildcard daemon/*.c daemon/*/*.c))
TESTS  := $(wildcard tests/unit/test_*.c)
TOOLS  := $(wildcard tests/tools/*.c)
EXAMPLES := $(wildcard examples/*.c)
FUZZ   := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

object = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
PROTO_OBJ  := $(call object,$(PROTO)) $(OUT)/gen/embmon.pb-c.o
CLIENT_OBJ := $(call object,$(CLIENT)) $(PROTO_OBJ)
DAEMON_OBJ := $(call object,$(DAEMON)) $(OUT)/gen/tensorboard.pb-c.o $(OUT)/gen/layout.pb-c.o $(PROTO_OBJ)
TEST_BIN   := $(patsubst tests/unit/%.c,$(OUT)/tests/%,$(TESTS))
TOOL_BIN   := $(patsubst tests/tools/%.c,$(OUT)/tools/%,$(TOOLS))
EXAMPLE_BIN := $(patsubst examples/%.c,$(OUT)/examples/%,$(EXAMPLES))

.PHONY: all carried setup demo demo-c test test-c test-sanitize test-py test-py-sanitize wheel \
        verdicts verdicts-c verdicts-keras \
        lint format install clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(OUT)/embmond $(OUT)/embmonctl $(OUT)/libembmon.so $(OUT)/libembmon.a $(EXAMPLE_BIN)
carried: $(OUT)/embmond $(OUT)/embmonctl $(OUT)/libembmon.so

# ---- generated code: made here, never committed
$(OUT)/gen/%.pb-c.c: proto/%.proto
	@mkdir -p $(@D)
	@command -v protoc-c >/dev/null || { echo "make: protoc-c is missing: run 'make setup'" >&2; exit 1; }
	$(call say,GEN) protoc-c --c_out=$(@D) -I$(<D) $<
$(OUT)/gen/%.pb-c.c: daemon/tensorboard/%.proto
	@mkdir -p $(@D)
	$(call say,GEN) protoc-c --c_out=$(@D) -I$(<D) $<
# gcc 12 is not asked to like the generator's style, and UBSan knows the library's two known lines.
$(OUT)/gen/%.pb-c.o: $(OUT)/gen/%.pb-c.c
	$(call say,CC) $(CC) $(BASE) $(CFLAGS) -fPIC -c $< -o $@

$(OUT)/obj/%.o: %.c | $(OUT)/gen/embmon.pb-c.c $(OUT)/gen/tensorboard.pb-c.c $(OUT)/gen/layout.pb-c.c
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CFLAGS) -fPIC -c $< -o $@

# The loops over the counts of a Sample: here vectors are worth their code.
$(call object,proto/counts.c proto/summary.c proto/message_sample.c client/collapse.c): CFLAGS += -O3

$(OUT)/libdaemon.a: $(DAEMON_OBJ)
	$(call say,AR) rm -f $@ && ar rcs $@ $^

$(OUT)/embmond: $(OUT)/obj/daemon/main.o $(OUT)/libdaemon.a
	$(call say,LD) $(CC) -pie $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) -pthread
$(OUT)/embmonctl: $(OUT)/obj/daemon/embmonctl.o $(OUT)/libdaemon.a
	$(call say,LD) $(CC) -pie $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) -pthread

# Only EMBMON_API is visible, in the shared library and, made local in one object, in the archive.
$(OUT)/libembmon.so: $(CLIENT_OBJ)
	$(call say,LD) $(CC) -shared $(LDFLAGS) -Wl,-soname,libembmon.so.0 -o $@ $^ $(CLIENT_LIBS) -pthread
	@ln -sf libembmon.so $(OUT)/libembmon.so.0
$(OUT)/libembmon.a: $(CLIENT_OBJ)
	$(call say,LD) ld -r -o $(OUT)/libembmon.o $^
	@objcopy --localize-hidden $(OUT)/libembmon.o
	$(call say,AR) rm -f $@ && ar rcs $@ $(OUT)/libembmon.o

$(OUT)/examples/%: $(OUT)/obj/examples/%.o $(OUT)/libembmon.a
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(LDFLAGS) -o $@ $^ $(CLIENT_LIBS) -pthread
# examples/NAME/*.c belong to examples/NAME.c.
$(foreach example,$(EXAMPLES:.c=),\
    $(eval $(OUT)/$(example): $(call object,$(wildcard $(example)/*.c))))

$(OUT)/tests/%: $(OUT)/obj/tests/unit/%.o $(call object,$(CLIENT)) $(OUT)/libdaemon.a
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(DAEMON_LIBS) -pthread
# Their own TensorFlow is looked up in themselves.
$(addprefix $(OUT)/tests/test_,operation tensorflow tensorflow_api): LDFLAGS += -rdynamic
$(OUT)/tools/%: $(OUT)/obj/tests/tools/%.o $(OUT)/libembmon.a $(OUT)/libdaemon.a
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) -pthread
# What is of the client's inside is hidden in the library.
$(OUT)/tools/summarize: $(OUT)/obj/tests/tools/summarize.o $(call object,$(CLIENT)) $(OUT)/libdaemon.a
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) -pthread

# The contestants in C of tests/bench/summarize.py.
$(OUT)/bench/libsummarize.so: $(OUT)/obj/tests/bench/summarize.o $(CLIENT_OBJ)
	@mkdir -p $(@D)
	$(call say,LD) $(CC) -shared $(LDFLAGS) -o $@ $^ $(CLIENT_LIBS) -pthread
# What tests/bench/daemon.py runs.
$(OUT)/bench/%: $(OUT)/obj/tests/bench/%.o $(OUT)/libdaemon.a
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) -pthread

# Fuzz targets: with gcc and a plain main() that replays tests/corpus, and with clang's libFuzzer.
$(OUT)/fuzz/replay_%: $(OUT)/obj/tests/fuzz/fuzz_%.o $(OUT)/obj/tests/fuzz/replay.o \
                      $(call object,$(CLIENT)) $(OUT)/libdaemon.a
	@mkdir -p $(@D)
	$(call say,LD) $(CC) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) -pthread
REPLAY := $(patsubst %,$(OUT)/fuzz/replay_%,$(FUZZ))
replay: $(REPLAY)
	@for target in $(FUZZ); do \
	    $(OUT)/fuzz/replay_$$target tests/corpus/$$target 2>$(OUT)/fuzz/$$target.log || \
	        { tail -n 40 $(OUT)/fuzz/$$target.log; exit 1; }; \
	done
# protobuf-c itself shifts and offsets as UBSan does not like, and is not ours to mend.
CLANG      ?= clang-14
fuzz: $(patsubst %,build/fuzz/fuzz_%,$(FUZZ))
build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(CLIENT) $(DAEMON) $(PROTO) build/gen/embmon.pb-c.c \
                   build/gen/tensorboard.pb-c.c build/gen/layout.pb-c.c
	@mkdir -p $(@D)
	$(call say,FUZZ) $(CLANG) -std=c11 -D_GNU_SOURCE -I. -Iinclude -Ibuild/gen -O1 -g -w \
	    -fno-sanitize=function -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	    -o $@ $< $(CLIENT) $(filter-out daemon/server.c daemon/connection.c,$(DAEMON)) $(PROTO) \
	    build/gen/*.pb-c.c $(DAEMON_LIBS) -pthread
.PHONY: fuzz replay

$(OUT)/faults/shim.so: tests/faults/shim.c
	@mkdir -p $(@D)
	$(call say,LD) $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -Wno-missing-prototypes -O2 -g -shared \
	    -fPIC -fno-builtin -o $@ $< -ldl

# ---- the two commands of the README, and what they are made of
PYTHON := build/venv/bin/python

setup:
	@tests/setup.sh test

demo:
	@tests/setup.sh demo
	@$(MAKE) -s -j2 all
	@$(PYTHON) examples/keras_demo.py

# The same for the example in C.
demo-c:
	@tests/setup.sh demo
	@$(MAKE) -s -j2 all
	@$(PYTHON) examples/demo.py

test:
	@tests/setup.sh test
	@$(MAKE) -s -j2 all lint
	@$(MAKE) -s -j2 test-c
	@$(MAKE) -s -j2 test-sanitize
	@$(MAKE) -s test-py

test-c: $(TEST_BIN)
	@tests/run-units $(TEST_BIN)

test-sanitize:
	@$(MAKE) -s -j2 SANITIZE=address,undefined all tools test-c replay

# What breaks around the promises: each call to the system fails once, the daemon is sick in every way,
# is killed, its disk loses power, trainers fork, threads race, ...; docs/ARCHITECTURE.md lists them.
# What was measured is printed at the end. ONLY=unharmed: tests of that name alone. What fails once is
# tried once more, and said, as below.
test-faults:
	@tests/setup.sh faults
	@$(MAKE) -s -j2 all tools build/faults/shim.so build/tests/test_torn_file
	@$(if $(ONLY),,$(MAKE) -s analyze)
	@$(if $(filter-out threads,$(ONLY)),,$(MAKE) -s -j2 test-threads)
	$(PYTHON) -m pytest -q -rsRP --reruns 1 --durations=20 -n 2 $(if $(ONLY),-k '$(ONLY)') tests/faults
.PHONY: test-faults

# What gcc's analyzer and cppcheck say of proto, client and daemon, but what tests/analyze explains.
# Not asked for leaks: gcc 12 loses sight of what is kept in an array, and LeakSanitizer and valgrind
# look for them in what runs.
ANALYZED := $(patsubst %.c,build/analyze/%.txt,$(PROTO) $(CLIENT) $(DAEMON) $(MAINS))
build/analyze/%.txt: %.c | build/gen/embmon.pb-c.c build/gen/tensorboard.pb-c.c build/gen/layout.pb-c.c
	@mkdir -p $(@D)
	$(call say,LOOK) $(CC) -std=c11 -D_GNU_SOURCE -I. -Iinclude -Ibuild/gen -O2 -MMD -MP -MF $(@:.txt=.d) \
	    -MT $@ -pthread -fanalyzer -Wno-analyzer-malloc-leak -c $< -o /dev/null 2>$@
analyze:
	@tests/setup.sh faults
	@$(MAKE) -s -j2 $(ANALYZED)
	@tests/analyze $(ANALYZED)
.PHONY: analyze

# The client's unit tests under ThreadSanitizer, and its tools for tests/faults/test_threads.py.
CLIENT_TESTS := $(filter $(patsubst client/%.c,$(OUT)/tests/test_%,$(CLIENT)),$(TEST_BIN))
test-client: $(CLIENT_TESTS)
	@tests/run-units $(CLIENT_TESTS)
test-threads:
	@$(MAKE) -s -j2 SANITIZE=thread test-client tools
.PHONY: test-client test-threads

# Every fuzz target, 2,000,000 inputs each: about 15 minutes.
test-fuzz:
	@tests/setup.sh fuzz
	@$(MAKE) -s -j2 fuzz
	@tests/fuzz/run
.PHONY: test-fuzz

# What takes longer than anybody waits for: before a release.
test-long: test-fuzz test-py-sanitize
	@tests/setup.sh test
	@$(MAKE) -s -j2 all tools
	$(PYTHON) -m pytest -q -rs tests/long
.PHONY: test-long

# Some tests need two busy cores to keep up with a second's worth of time; what fails once is tried
# once more, and said.
test-py: all tools
	$(PYTHON) -m pytest -q -rsR --reruns 1 -n 4 --ignore=tests/faults --ignore=tests/long tests

# The same against build/sanitize, but those that train with a framework or measure: some ten minutes.
# Not part of `make test`.
test-py-sanitize:
	@tests/setup.sh test
	@$(MAKE) -s -j2 SANITIZE=address,undefined all tools
	@tests/run-sanitized

tools: $(TOOL_BIN)
.PHONY: tools

# The Python package with libembmon.so, embmond and embmonctl in it.
wheel:
	@tests/setup.sh demo
	@rm -f build/wheel/embmon-*.whl
	@$(PYTHON) -m pip wheel -q --disable-pip-version-check --no-deps -w build/wheel ./client/python
	@ls build/wheel/embmon-*.whl

# How often embmond is right, on trainings of its own; verdicts-c and verdicts-keras do the same with the
# examples. READ=build/verdicts/.../verdicts.json puts that table into the README instead.
verdicts:
	@tests/setup.sh test
	@$(MAKE) -s -j2 all tools
	@PYTHONPATH=tests $(PYTHON) -m verdicts $(if $(READ),--readme $(READ))
verdicts-c:
	@tests/setup.sh test
	@$(MAKE) -s -j2 all
	@$(PYTHON) examples/skipgram_verdicts.py
verdicts-keras:
	@tests/setup.sh test
	@$(MAKE) -s -j2 all
	@$(PYTHON) examples/keras_verdicts.py

# What it costs, beside what bounds it and what others do: summaries of tensors, a training step,
# embmond's posts, event files, from a post to TensorBoard, a million steps. bench takes some ten
# minutes, bench-quick one; bench-readme is bench and puts the goals into the README. ONLY=ingest: that
# part of the daemon's alone.
BENCH := build/libembmon.so build/bench/libsummarize.so build/embmond build/embmonctl \
         build/tools/load build/tools/growth build/bench/flood build/bench/events
KEPT  := build/bench/goals
bench:
	@tests/setup.sh test
	@$(MAKE) -s -j2 $(BENCH)
	@$(if $(ONLY),,$(PYTHON) tests/bench/summarize.py $(QUICK) --keep $(KEPT))
	@$(if $(ONLY),,$(PYTHON) tests/bench/keras_step.py $(QUICK) --keep $(KEPT))
	@$(PYTHON) tests/bench/daemon.py $(QUICK) $(if $(ONLY),$(ONLY),--keep $(KEPT))
	@$(if $(ONLY),,$(PYTHON) tests/bench/goals.py $(KEPT) $(QUICK) $(README))
bench-quick:
	@$(MAKE) -s bench QUICK=--quick
bench-readme:
	@$(MAKE) -s bench README=--readme
.PHONY: bench bench-quick bench-readme

FORMATTED = $(wildcard proto/*.[ch] client/*.[ch] daemon/*.[ch] daemon/*/*.[ch] \
              examples/*.c examples/*/*.[ch] \
              tests/unit/*.[ch] tests/tools/*.[ch] tests/fuzz/*.[ch] tests/bench/*.[ch])
lint:
	@build/venv/bin/clang-format --dry-run --Werror $(FORMATTED)
	@tests/check-rules
format:
	@build/venv/bin/clang-format -i $(FORMATTED)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig \
	    $(DESTDIR)$(PREFIX)/include/embmon $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/man/man3 $(DESTDIR)$(PREFIX)/share/man/man5 \
	    $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/doc/embmond
	install -m 755 $(OUT)/embmond $(OUT)/embmonctl $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(OUT)/libembmon.so $(DESTDIR)$(PREFIX)/lib/libembmon.so.$(VERSION)
	ln -sf libembmon.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libembmon.so.0
	ln -sf libembmon.so.0 $(DESTDIR)$(PREFIX)/lib/libembmon.so
	install -m 644 $(OUT)/libembmon.a $(DESTDIR)$(PREFIX)/lib
	install -m 644 include/embmon/embmon.h $(DESTDIR)$(PREFIX)/include/embmon
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' client/embmon.pc.in \
	    >$(DESTDIR)$(PREFIX)/lib/pkgconfig/embmon.pc
	install -m 644 docs/embmonctl.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 docs/libembmon.3 $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 docs/embmond.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 docs/embmond.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 docs/embmond.yaml $(DESTDIR)$(PREFIX)/share/doc/embmond
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|' daemon/embmond.service.in \
	    >$(DESTDIR)$(PREFIX)/lib/systemd/system/embmond.service
	install -m 644 daemon/embmond.socket $(DESTDIR)$(PREFIX)/lib/systemd/system

clean:
	rm -rf build/obj build/gen build/tests build/tools build/examples build/sanitize build/lib* \
	    build/embmond build/embmonctl build/portable build/python build/wheel build/thread build/analyze

-include $(shell find $(OUT)/obj $(OUT)/gen build/analyze -name '*.d' 2>/dev/null)
