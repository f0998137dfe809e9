"""Client: posts the tensors of a training, whatever the framework, to embmond."""

import ctypes
import os
import threading
import time
import weakref
from typing import Any, Callable, Sequence

from . import _arrays, _lib, _naming, errors
from ._arguments import INT64_MAX, integer, text, word
from ._arguments import shape as as_shape
from ._handle import Handle, close_unowned, log_function
from ._values import Stats, Summary, summary_struct
from ._vocabulary import words_of
from .alert import Alert

_SIGNALS = _lib.SIGNALS
_DROPPED = _lib.ERRORS["EMBMON_EDROPPED"]
_ID_MAX = 2**31 - 1
_NOTICES_KEPT = 64  # as client/notices.h says
_OVERHEAD = 0.01


def _share(every: int | str | None, overhead: float | None) -> float:
    """What monitoring may add to a step; 0: any. InvalidArgumentError for what is no share."""
    try:
        share = _OVERHEAD if overhead is None else float(overhead)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 < share <= 1:
        raise errors.InvalidArgumentError(f"overhead {overhead!r} is not above 0 and at most 1")
    return share if every == "auto" or overhead is not None else 0.0


class Client:
    """Posts tensors, scalars and steps of one process of a training to embmond.

        client = embmon.Client(run="mine")
        client.layer("tower/embedding", "embedding", rows=10000, columns=64)
        for step, batch in enumerate(batches):
            ...
            client.post("tower/embedding", "gradient", step, gradient)
            client.scalar("loss", step, loss)
            client.step(step)
        client.close()

    Every method but close() may be called from any thread. Nothing waits: without a daemon posts
    are queued, and dropped (oldest first, and counted) beyond 32 MiB. Only mistakes of the caller
    raise (a subclass of EmbmonError), and the first use where the process has no room for another
    client (LimitError, OutOfMemoryError, ThreadStartError); a full inbox or a lost daemon never.

    The connection is made at the first declaration, post or step, not by the constructor (unless
    resume=True), so that a worker process which only imports the training script opens none. In a
    fork of the process that opened the client every call raises ClosedError; a fork that trains
    makes a Client of its own.

    A client that is left open is closed within 2 s when the program exits, or in the background
    when it is collected.
    """

    def __init__(self, run: str | None = None, rank: int | None = None,
                 world_size: int | None = None, address: str | None = None, resume: bool = False,
                 every: int | str | None = None, overhead: float | None = None,
                 log: Callable[[str], None] | None = None,
                 token_file: str | os.PathLike[str] | None = None,
                 buckets: str = "exact") -> None:
        """run: the wanted name; None: EMBMON_RUN, else the launcher's id (TORCHELASTIC_RUN_ID,
        SLURM_JOB_ID), else <script>-<date>-<time>-<pid>.
        rank, world_size: of this process, and how many train this model together (at most 1,024);
        None: RANK and WORLD_SIZE, else 0 and 1.
        address: "unix:PATH" or "tcp:HOST:PORT"; None: EMBMON_ADDRESS, else the default addresses.
        resume: continue the run of this name; waits up to 2 s for the daemon.
        every: sample steps that are multiples of it (rounded up to a power of two); "auto": as
        often as `overhead` allows; None: every step. Never more often than the daemon says, but
        while it asks for more to decide an alert.
        overhead: with "auto", the share of a training step that monitoring may add, between 0 and
        1; None: 0.01. It is measured, from one step() to the next. The first 16 steps are all
        sampled.
        log: called from a private thread with one line for every outage and its end; it must not
        call the client. None: the line goes to stderr.
        token_file: over tcp, a file of mode 0600 that holds what embmond's --token-file holds;
        None: EMBMON_TOKEN_FILE, else none.
        buckets: "exact", or "sampled": of tensors of 2^20 elements and more one element in 16 is
        counted in histograms, which takes half the time; norms, extremes, zeros, NaNs and
        infinities stay exact.

        Errors: InvalidNameError, AddressError, TokenError, InvalidArgumentError; ImportError where
        libembmon.so is missing."""
        self.address = address  # as given
        self._lib = _lib.load()
        self._opening = threading.Lock()
        self._handle: Handle | None = None
        self._ids: dict[str, int] = {}  # of layers and variables, by path
        self._paths: dict[int, str] = {}  # of layers
        self._welcome: tuple[str, int] | None = None
        self._spare_notices: list[Any] = []
        name = _naming.run() if run is None else run
        if not isinstance(name, str) or not _naming.is_name(name):
            raise errors.error(errors.InvalidNameError.code, f"run {name!r}")
        if address is not None and not (isinstance(address, str) and _naming.is_address(address)):
            raise errors.error(errors.AddressError.code, f"address {address!r}")
        if token_file is not None and not _naming.is_token_file(token_file):
            raise errors.error(errors.TokenError.code, f"token_file {os.fspath(token_file)!r}")
        found_rank, found_size = _naming.place(rank, world_size)
        found_size = integer(found_size, 1, 1024, "world_size")
        self._options = _lib.Options(
            size=ctypes.sizeof(_lib.Options),
            rank=integer(found_rank, 0, found_size - 1, "rank"), world_size=found_size,
            every=0 if every in (None, "auto") else integer(every, 1, 2**31, "every"),
            overhead=_share(every, overhead),
            address=None if address is None else text(address, "address"),
            run=text(name, "run"), resume=bool(resume),
            buckets=word(_lib.BUCKETS, buckets, "buckets"),
            token_file=None if token_file is None else os.fsencode(token_file))
        if log is not None:
            self._options.log = log_function(log)
        if resume:
            self._open()

    # ---- declaring the model

    def layer(self, path: str, kind: str = "other", *, activation: str | None = None,
              trainable: bool = True, sharded: bool = False, rows: int = 0, columns: int = 0,
              padding_id: int | None = None, inputs: Sequence[int | str] = (),
              shape: Sequence[int | None] | None = None, dtype: Any = None,
              tied: bool = False, mask: str = "unknown") -> int:
        """Declares a layer; returns its id. Declare in forward order: "the first layer that ..." in
        an alert means this order. The same path again gives the same id.

        path: "inner_model/embedding_1", at most 255 bytes. kind: "embedding", "dense",
        "recurrent", "conv", "norm", "attention", "concatenate" (joins its inputs along an axis),
        "merge" (adds, multiplies, ... them), "pooling" (averages over a sequence) or "other".
        activation: "relu", .... sharded: each rank holds a part of the variable, so that norms add
        over ranks. rows, columns, padding_id: of an embedding: number of ids, width of a row, the
        id of padding. inputs: layers this one reads (ids or paths, at most 64). shape, dtype: of
        the output, None or -1 for a dimension that varies, at most 8 dimensions. tied: the
        table is the output's matrix, too, so that every row gets a gradient. mask: what became of
        the inputs' mask when the layer was called first: "none" came and it has no use for one;
        one came and was "used" up, or "passed" on (also one that the layer made), or "lost", as
        the layer does not know masks; it was "missed": the layer would have used one.

        Errors: InvalidNameError, InvalidArgumentError, UnknownTargetError (inputs), DtypeError,
        AlreadyDeclaredError (the same path, differently), LimitError (4,096 layers)."""
        ids = [self._known(layer) for layer in inputs]
        sizes, dimensions = as_shape(shape)
        info = _lib.LayerInfo(
            size=ctypes.sizeof(_lib.LayerInfo), kind=word(_lib.KINDS, kind, "kind"),
            path=text(path, "layer"), trainable=bool(trainable), sharded=bool(sharded),
            activation=None if activation is None else text(activation, "activation"),
            rows=integer(rows, 0, INT64_MAX, "rows"),
            columns=integer(columns, 0, INT64_MAX, "columns"),
            padding_id=_lib.NO_PADDING if padding_id is None
            else integer(padding_id, -2**63 + 1, INT64_MAX, "padding_id"),
            inputs=(ctypes.c_int32 * len(ids))(*ids) if ids else None, input_count=len(ids),
            shape=sizes, rank=dimensions, dtype=0 if dtype is None else _arrays.dtype_code(dtype),
            tied=bool(tied), mask=word(_lib.MASKS, mask, "mask"))
        layer = self._call(self._lib.embmon_layer, ctypes.byref(info))
        if layer < 0:
            raise errors.error(layer, f"layer {path!r}")
        self._ids[path] = layer
        self._paths[layer] = path
        return layer

    def variable(self, layer: int | str, name: str, shape: Sequence[int] | None = None,
                 dtype: Any = None) -> int:
        """Declares a variable ("kernel", "bias") of a layer (id or path); returns its id. It is a
        target by id or as "<layer's path>/<name>". An embedding's table needs none: post to the
        layer itself.

        Errors: UnknownTargetError (layer), InvalidNameError, InvalidArgumentError, DtypeError,
        AlreadyDeclaredError, LimitError (16,384 variables)."""
        of = self._known(layer)
        sizes, dimensions = as_shape(shape)
        variable = self._call(self._lib.embmon_variable, of, text(name, "variable"), sizes,
                              dimensions, 0 if dtype is None else _arrays.dtype_code(dtype))
        if variable < 0:
            raise errors.error(variable, f"variable {name!r} of layer {layer!r}")
        if of in self._paths:
            self._ids[f"{self._paths[of]}/{name}"] = variable
        return variable

    def vocabulary(self, layer: int | str, words: Any) -> None:
        """Says what the ids of a table stand for, so that alerts say `id 4711 ("dress")`. To be
        called before the table's ids are posted, once for a layer (id or path).

        words: a list (or array) of words, that of id 0 first, None where an id has none; or a dict
        from word to id (a tokenizer's word_index); or a layer with get_vocabulary() (StringLookup,
        TextVectorization). They are copied; 64 bytes of each are shown. Only the words of the few
        ids that a post names are sent.

        Errors: TypeError and ValueError for what is no such thing; UnknownTargetError (layer),
        AlreadyDeclaredError (the layer has its words), LimitError (2^24 words, 256 MiB for all
        layers)."""
        made = words_of(words)
        result = self._call(self._lib.embmon_vocabulary, self._known(layer), made.for_c, made.count)
        self._check(result, f"vocabulary of layer {layer!r}")

    # ---- what is to be flagged

    def threshold(self, detector: str, layers: str, key: str, value: float) -> None:
        """Sets a threshold of a detector ("gradient_exploding") for the layers a pattern matches:
        `*` is any characters ("/" too), `?` one character; a pattern without a "/" is of the last
        part of a path. Detectors of the whole model take "*". libembmon(3) lists detectors and
        keys. Of several that match a layer the one made last counts; the same again replaces the
        value only. Holds for the run. What the daemon does not know it refuses in its log.

        Errors: InvalidNameError (detector, key), InvalidArgumentError (layers, value), LimitError
        (256, ignored ones included)."""
        result = self._call(self._lib.embmon_threshold, text(detector, "detector"),
                            text(layers, "layers"), text(key, "key"), float(value))
        self._check(result, f"threshold {key!r} of {detector!r} for {layers!r}")

    def ignore(self, detector: str, layers: str) -> None:
        """The detector is to leave these layers alone, for the whole run. layers, errors: as
        threshold()."""
        result = self._call(self._lib.embmon_ignore, text(detector, "detector"),
                            text(layers, "layers"))
        self._check(result, f"ignore {detector!r} for {layers!r}")

    # ---- posting

    def post(self, target: int | str, signal: str, step: int, array: Any,
             dtype: Any = None) -> bool:
        """Summarises an array in place and posts the summary.

        target: an id, or a path; an unknown path is declared as a layer of kind "other". signal:
        "gradient" (before clipping, divided by the loss scale), "activation", "weight" (before the
        step's update) or "update" (new weight minus old). step: >= 0, the trainer's own count of
        training steps. array: float16, bfloat16, float32, float64, int8 ... int64, of any shape:
        a numpy array, or an object with the buffer protocol or DLPack in host memory. Read
        without a copy when C-contiguous, aligned and of native byte order, else copied once.
        dtype: how to read integers of the same size, or plain bytes: "bf16" for a uint16 view.

        Returns True when accepted; False when not wanted at this step, or dropped because the
        inbox is full (stats() counts which).
        Errors: InvalidArgumentError (signal, step, not in host memory), UnknownTargetError,
        DtypeError, InvalidNameError, ClosedError."""
        number = word(_SIGNALS, signal, "signal")
        ident = target if target.__class__ is int and 0 <= target <= _ID_MAX \
            else self._target(target)
        if step.__class__ is not int or not 0 <= step <= INT64_MAX:
            step = integer(step, 0, INT64_MAX, "step")
        address, count, code, owner = _arrays.view(array, dtype)
        handle = self._handle or self._open()
        result = handle.call(self._lib.embmon_post, ident, number, step, address, count, code)
        del owner  # until here the memory had to stay
        return result == 1 or self._not_accepted(result, "post to", target)

    def post_rows(self, target: int | str, signal: str, step: int, ids: Any, values: Any) -> bool:
        """Posts a sparse gradient or update of an embedding: `values`, rows x columns (or any shape
        with as many rows as `ids` has elements) of a floating dtype, for the rows `ids` (int32 or
        int64) of the table. Rows of one id are added up first. Otherwise as post().

        Errors: as post(); InvalidArgumentError where the two do not fit together."""
        number = word(_SIGNALS, signal, "signal")
        ident = self._target(target)
        keys, rows, key_dtype, keys_owner = _arrays.view(ids)
        elements, count, dtype, owner = _arrays.view(values)
        columns = self._columns(target, count, rows)
        result = self._call(self._lib.embmon_post_rows, ident, number,
                            integer(step, 0, INT64_MAX, "step"), keys, key_dtype, elements, rows,
                            columns, dtype)
        del keys_owner, owner
        return result == 1 or self._not_accepted(result, "post of rows to", target)

    def lend(self, step: int, posts: Sequence[tuple[Any, ...]]) -> int:
        """Posts arrays as post() and post_rows() would now, and leaves the work to the client's own
        thread: the call takes a few microseconds for each, whatever its size. What is posted
        later arrives later.

        posts: (target, signal, array) or, of rows, (target, signal, values, ids), with arrays as in
        post() and post_rows(). They are kept, and must not be changed, until the thread has looked
        at them, which takes some milliseconds: see returned(). At most 64 MiB are lent at the same
        time; what would be more is summarised within the call.

        Returns how many were accepted: not those that are not wanted at this step, or dropped.
        Errors: as post() and post_rows(); where it is not C that finds them (a word, an array, a
        dtype, a path), nothing is posted, else all others are."""
        n = len(posts)
        if step.__class__ is not int or not 0 <= step <= INT64_MAX:
            step = integer(step, 0, INT64_MAX, "step")
        handle = self._handle or self._open()
        loans = handle.loans
        room = loans.room(n)
        owners: list[Any] = []
        for loan, post in zip(room[1], posts):
            target, signal, values = post[:3]
            loan.target = target if target.__class__ is int and 0 <= target <= _ID_MAX \
                else self._target(target)
            loan.signal = word(_SIGNALS, signal, "signal")
            loan.data, count, loan.dtype, owner = _arrays.view(values)
            owners.append(owner)
            if len(post) == 4:
                loan.ids, rows, loan.id_dtype, owner = _arrays.view(post[3])
                owners.append(owner)
                loan.rows = rows
                loan.columns = self._columns(target, count, rows)
            else:
                loan.count = count
                if loan.id_dtype:  # of an earlier call
                    loan.ids, loan.id_dtype = None, 0
        result = loans.lend(handle.call, step, room, n, owners)
        if result < 0:
            raise errors.error(result, f"lend at step {step}")
        return result

    def returned(self) -> bool:
        """Lets go of lent arrays that the thread has looked at, as lend(), step() and close() do,
        too. True where none is left."""
        handle = self._handle
        if handle is None or not handle.loans:
            return True
        handle.loans.prune(handle.call)
        return not handle.loans

    def post_summary(self, target: int | str, signal: str, step: int, summary: Summary) -> bool:
        """Posts a summary made elsewhere. Returns as post(). Errors: as post();
        InvalidArgumentError where the summary contradicts itself."""
        number = word(_SIGNALS, signal, "signal")
        ident = self._target(target)
        made = summary_struct(summary)
        result = self._call(self._lib.embmon_post_summary, ident, number,
                            integer(step, 0, INT64_MAX, "step"), ctypes.byref(made))
        return result == 1 or self._not_accepted(result, "post of a summary to", target)

    def post_ids(self, target: int | str, step: int, ids: Any, mask: Any = None,
                 sequence_length: int | None = None) -> bool:
        """Posts what reaches an embedding: counts of what is out of range, fractional, padding,
        masked, distinct; never the ids themselves.

        target: the layer's id or path (an unknown path is declared as a layer of kind "other");
        the rows and padding_id it was declared with are what the ids are compared with. ids: an
        array as in post(), of any shape; also bool and unsigned integers, which are converted.
        Floats are truncated toward zero, as frameworks do, and fractions counted. mask: bool or
        any numbers, as many as ids, False or 0 for what is masked. sequence_length: how many of
        the ids in C order make a sequence, 0: these are no sequences; None: the last dimension,
        where there are two or more.

        Returns as post(); whether they are wanted says wanted(target, "ids"). At other steps they are
        looked through, about 1 ns for each, and accepted where one is no row or no whole number.
        Errors: as post(); UnknownTargetError for a variable; InvalidArgumentError (the mask's
        size, ids that are no whole sequences)."""
        address, count, code, owner = _arrays.ids_view(ids)
        length = self._sequence_length(ids, sequence_length)
        zeros, mask_owner = (None, None) if mask is None else _arrays.mask_view(mask, count)
        result = self._call(self._lib.embmon_post_ids, self._target(target),
                            integer(step, 0, INT64_MAX, "step"), address, count, code, length,
                            zeros)
        del owner, mask_owner
        return result == 1 or self._not_accepted(result, "post of ids to", target)

    def post_fed(self, target: int | str, input: str, step: int, ids: Any,
                 sequence_length: int | None = None) -> bool:
        """Posts the same ids as the user fed them: at the model's boundary, before the framework
        casts. input: the input's name, or "". Otherwise as post_ids().

        Errors: as post_ids(); InvalidNameError (input)."""
        address, count, code, owner = _arrays.ids_view(ids)
        length = self._sequence_length(ids, sequence_length)
        result = self._call(self._lib.embmon_post_fed, self._target(target), text(input, "input"),
                            integer(step, 0, INT64_MAX, "step"), address, count, code, length)
        del owner
        return result == 1 or self._not_accepted(result, "post of fed ids to", target)

    def post_shape(self, target: int | str, step: int, role: str, dims: Sequence[int | None],
                   index: int = 0, inputs: int = 0, axis: int = 0, dtype: Any = None) -> bool:
        """Posts a shape along the graph, when it is new: it is wanted at every step.

        target: a layer's or variable's id or path. role: "input", "output" or "gradient". dims:
        with the batch, None or -1 for what is not known, at most 8. index, inputs: of an input:
        which of how many tensors (1 ... 64) the layer reads; else 0. axis: along which a
        concatenation joins, -8 ... 7. dtype: None where unknown, or none of those that are
        monitored.

        Returns True when accepted, False when dropped because the inbox is full.
        Errors: InvalidArgumentError, UnknownTargetError, DtypeError, ClosedError."""
        sizes, dimensions = as_shape(dims)
        shape = _lib.Shape(
            size=ctypes.sizeof(_lib.Shape), role=word(_lib.SHAPE_ROLES, role, "role"),
            index=integer(index, 0, _lib.INPUTS_MAX, "index"),
            inputs=integer(inputs, 0, _lib.INPUTS_MAX, "inputs"),
            axis=integer(axis, -_lib.RANK_MAX, _lib.RANK_MAX - 1, "axis"), rank=dimensions,
            dims=sizes, dtype=0 if dtype is None else _arrays.dtype_code(dtype))
        result = self._call(self._lib.embmon_post_shape, self._target(target),
                            integer(step, 0, INT64_MAX, "step"), ctypes.byref(shape))
        return result == 1 or self._not_accepted(result, "post of a shape to", target)

    def scalar(self, name: str, step: int, value: float) -> bool:
        """Posts a named value of the model. "loss", "learning_rate", "batch_size" and
        "clipped_fraction" are known to the detectors and to TensorBoard; others appear as
        scalars/<name>. value: anything float() takes. Where it is NaN or infinite, the rest of the
        step and the 7 after it are sampled, too. Returns as post()."""
        result = self._call(self._lib.embmon_post_scalar, text(name, "scalar"),
                            integer(step, 0, INT64_MAX, "step"), float(value))
        return result == 1 or self._not_accepted(result, "scalar", name)

    def gate(self) -> int:
        """The address of a new embmon_gate, shut: for operations of a compiled graph. It stays until
        the process ends. Errors: ClosedError, MemoryError."""
        gate = ctypes.c_void_p()
        self._check(self._call(self._lib.embmon_gate_new, ctypes.byref(gate)), "gate")
        return int(gate.value or 0)

    def wanted(self, target: int | str, signal: str) -> bool:
        """Is this signal to be posted at the current step? What is not wanted need not be made;
        posted all the same it is counted as skipped. An unknown path is declared as in post()."""
        number = word(_SIGNALS, signal, "signal")
        return self._check(self._call(self._lib.embmon_wanted, self._target(target), number),
                           "wanted") == 1

    # ---- steps, epochs, phases

    def step(self, step: int) -> bool:
        """The step is complete on this rank. Steps increase by any amount. Returns True when the
        next step is to be sampled."""
        if step.__class__ is not int or not 0 <= step <= INT64_MAX:
            step = integer(step, 0, INT64_MAX, "step")
        handle = self._handle or self._open()
        result = handle.call(self._lib.embmon_step, step)
        if handle.loans:
            handle.loans.prune(handle.call)
        if result < 0 and result != _DROPPED:
            raise errors.error(result, f"step {step}")
        return result != 0

    def epoch(self, epoch: int) -> None:
        """Epoch `epoch` (0, 1, ...) is complete."""
        result = self._call(self._lib.embmon_epoch, integer(epoch, 0, INT64_MAX, "epoch"))
        if result != _DROPPED:
            self._check(result, f"epoch {epoch}")

    def phase(self, phase: str) -> None:
        """The phase of later posts and steps, of all threads: "training" (at first), "validation"
        or "inference". Each counts its own steps."""
        self._check(self._call(self._lib.embmon_phase, word(_lib.PHASES, phase, "phase")),
                    f"phase {phase!r}")

    # ---- what comes back

    def notices(self) -> list[Alert]:
        """The alert changes that came since the last call, oldest first (the last 64 are kept)."""
        taken: list[Alert] = []
        if not self._is_open():
            return taken
        try:  # asked for between all steps, and mostly for nothing
            notice = self._spare_notices.pop()
        except IndexError:
            notice = _lib.Notice(size=ctypes.sizeof(_lib.Notice))
        # No more than were there: they may come faster than they are taken, for ever.
        while len(taken) < _NOTICES_KEPT and self._check(
                self._call(self._lib.embmon_notice, ctypes.byref(notice)), "notices") == 1:
            taken.append(Alert.from_notice(notice))
        self._spare_notices.append(notice)
        return taken

    def stats(self) -> Stats:
        """Counts since the client was opened; all zero before the first use. ClosedError after."""
        if not self._is_open():
            return Stats()
        stats = _lib.ClientStats(size=ctypes.sizeof(_lib.ClientStats))
        self._check(self._call(self._lib.embmon_stats, ctypes.byref(stats)), "stats")
        return Stats(bool(stats.connected), *(getattr(stats, name) for name in Stats._fields[1:]))

    @property
    def connected(self) -> bool:
        """Is the daemon there? False before the first use and after close()."""
        try:
            return self.stats().connected
        except errors.ClosedError:
            return False

    @property
    def run(self) -> str | None:
        """The name the run got, which may differ from the wanted one; None until the daemon has
        answered. Stays after close()."""
        welcome = self._welcomed()
        return welcome[0] if welcome else None

    @property
    def next_step(self) -> int | None:
        """The first step that was not in the run yet when the daemon answered; None until then."""
        welcome = self._welcomed()
        return welcome[1] if welcome else None

    # ---- the end

    def close(self, timeout: float = 2.0) -> int:
        """Ends open steps, waits up to `timeout` seconds until all is acknowledged, and says goodbye.
        Returns how many posts were not delivered: 0 is the good answer. Calls of other threads
        that are under way end first; later ones raise ClosedError. A second close returns 0."""
        end = time.monotonic() + max(float(timeout), 0.0)
        with self._opening:
            if self._handle is None:
                self._handle = Handle(None)
            handle = self._handle
        # The C client takes the run's name with it. This waits no longer than its own close.
        while not self._welcomed() and self._waits() and time.monotonic() < end:
            time.sleep(0.001)
        return handle.close(end - time.monotonic())

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- within

    def _open(self) -> Handle:
        with self._opening:
            if self._handle is None:
                pointer = ctypes.c_void_p()
                self._check(self._lib.embmon_open(ctypes.byref(self._options),
                                                  ctypes.byref(pointer)), "open")
                self._handle = Handle(pointer.value)
                weakref.finalize(self, close_unowned, self._handle)
            return self._handle

    def _is_open(self) -> bool:
        """Was it ever used?"""
        return self._handle is not None

    def _call(self, function: Callable[..., int], *arguments: Any) -> int:
        return (self._handle or self._open()).call(function, *arguments)

    def _check(self, result: int, what: str) -> int:
        if result < 0:
            raise errors.error(result, what)
        return result

    def _not_accepted(self, result: int, what: str, name: object) -> bool:
        """False where that is nobody's mistake."""
        if result < 0 and result != _DROPPED:
            raise errors.error(result, f"{what} {name!r}")
        return False

    def _target(self, target: int | str) -> int:
        """Its id; an unknown path is declared."""
        if target.__class__ is int and 0 <= target <= _ID_MAX:
            return target
        if isinstance(target, str):
            found = self._ids.get(target)
            return self.layer(target) if found is None else found
        return integer(target, 0, _ID_MAX, "target")

    def _known(self, target: int | str) -> int:
        """Its id; UnknownTargetError for an unknown path."""
        if isinstance(target, str) and target not in self._ids:
            raise errors.UnknownTargetError(f"no layer {target!r} was declared")
        return self._target(target)

    @staticmethod
    def _columns(target: int | str, values: int, rows: int) -> int:
        columns, rest = divmod(values, rows) if rows else (0, values)
        if rest:
            raise errors.InvalidArgumentError(
                f"post of rows to {target!r}: {values} values for {rows} ids")
        return columns

    @staticmethod
    def _sequence_length(ids: Any, given: int | None) -> int:
        if given is None:
            return _arrays.last_dimension(ids)
        return integer(given, 0, INT64_MAX, "sequence_length")

    def _waits(self) -> bool:
        """Is a post on its way?"""
        try:
            return self.stats().in_flight > 0
        except errors.ClosedError:
            return False

    def _welcomed(self) -> tuple[str, int] | None:
        if self._welcome is None and self._is_open():
            name, step = ctypes.create_string_buffer(4096), ctypes.c_int64()
            if self._call(self._lib.embmon_run, name, len(name), ctypes.byref(step)) == 1:
                self._welcome = name.value.decode(), step.value
        return self._welcome
