/* embmon.h: the client side of embmond, for trainers written in C and everything built on it.
 *
 *     struct embmon_options options = EMBMON_OPTIONS_INIT;
 *     struct embmon_client *monitor;
 *     options.run = "reviews";
 *     if (embmon_open(&options, &monitor) < 0) ...
 *
 *     struct embmon_layer_info table = EMBMON_LAYER_INFO_INIT;
 *     table.path = "inner_model/embedding";
 *     table.kind = EMBMON_EMBEDDING;
 *     table.rows = 10000, table.columns = 64;
 *     int embedding = embmon_layer(monitor, &table);
 *
 *     for (step = 0; ...; step++) {
 *         ...
 *         embmon_post(monitor, embedding, EMBMON_GRADIENT, step, gradient, count, EMBMON_F32);
 *         embmon_post_scalar(monitor, "loss", step, loss);
 *         embmon_step(monitor, step);
 *     }
 *     embmon_close(monitor, 2000);
 *
 * Arguments: the client first, then what is meant (layer, signal, step), then the data and its
 * count and dtype; out arguments last. Pointers must not be NULL unless said. Nothing is kept of a
 * pointer after the call returns: strings are copied, tensors are summarised in place; but for what
 * embmon_lend() says.
 *
 * Results: functions that return int give a value >= 0, or a negative EMBMON_E... code that
 * embmon_strerror() explains. No error of the monitor is ever a reason to stop training: a trainer
 * may ignore every result but that of embmon_open().
 *
 * Threads: every call but embmon_close() may be made from any thread at any time. After
 * embmon_open() no call blocks, waits for a lock, makes a system call, allocates without bound, or
 * touches the process's signal mask, signal handlers, locale, errno or stdout. One private thread
 * (all signals blocked) does the sending. A post needs up to 160 KiB of its thread's stack; from the
 * first tensor of 2^17 elements on the client keeps 128 KiB for counting such, 256 KiB where two
 * threads do so at the same time.
 *
 * After fork() the child's handle is inert: every call returns EMBMON_ECLOSED, and the child's copy
 * of the socket is closed. A child that trains opens a client of its own.
 *
 * Structs begin with `uint32_t size`, set by their ..._INIT macro: a program built against an older
 * header keeps working, fields it does not know take their default.
 */
#ifndef EMBMON_EMBMON_H
#define EMBMON_EMBMON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMBMON_VERSION "0.1.0"

#if defined(__GNUC__)
#define EMBMON_API          __attribute__((visibility("default")))
#define EMBMON_NODISCARD    __attribute__((warn_unused_result))
#define EMBMON_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#else
#define EMBMON_API
#define EMBMON_NODISCARD
#define EMBMON_NONNULL(...)
#endif

/* ---- errors ------------------------------------------------------------------------------ */

/* The one list of errors: name, value, text. */
#define EMBMON_ERRORS(X)                                                                           \
    X(EMBMON_EINVAL, -1, "an argument is out of its range")                                        \
    X(EMBMON_ENOMEM, -2, "out of memory")                                                          \
    X(EMBMON_EADDRESS, -3,                                                                         \
      "not an address: use unix:PATH, with a path of at most 107 bytes, or "                       \
      "tcp:HOST:PORT")                                                                             \
    X(EMBMON_ENAME, -4,                                                                            \
      "not a name: use parts of [A-Za-z0-9_.=+-] joined by '/', each starting "                    \
      "with a letter, a digit or '_'")                                                             \
    X(EMBMON_EUNKNOWN, -5, "no layer or variable has this id")                                     \
    X(EMBMON_EEXISTS, -6, "a layer or variable of this name was declared before, differently")     \
    X(EMBMON_ELIMIT, -7, "a limit of the library or of the daemon is reached")                     \
    X(EMBMON_EDTYPE, -8, "not a dtype, or not one that this call takes")                           \
    X(EMBMON_EDROPPED, -9, "the inbox is full: this post was dropped and counted")                 \
    X(EMBMON_ECLOSED, -10,                                                                         \
      "the client is closed, or this process is a fork of the one it was "                         \
      "opened in")                                                                                 \
    X(EMBMON_ETHREAD, -11, "the sender thread could not be started")                               \
    X(EMBMON_ETOKEN, -12,                                                                          \
      "the token file cannot be used: it holds 16 to 4,096 bytes and nobody but its "              \
      "owner may read it")

#define EMBMON_ERROR_ENUM(name, value, text) name = (value),
enum embmon_error { EMBMON_ERRORS(EMBMON_ERROR_ENUM) };
#undef EMBMON_ERROR_ENUM

/* Returns a static sentence for a negative result, never NULL. */
EMBMON_API const char *embmon_strerror(int error);

/* The version of the library at run time, as EMBMON_VERSION is the header's. */
EMBMON_API const char *embmon_version(void);

/* ---- words ------------------------------------------------------------------------------- */

/* Values are part of the wire protocol and never change. */
enum embmon_dtype {
    EMBMON_F32 = 1,
    EMBMON_F64 = 2,
    EMBMON_F16 = 3,
    EMBMON_BF16 = 4,
    EMBMON_I8 = 5,
    EMBMON_I16 = 6,
    EMBMON_I32 = 7,
    EMBMON_I64 = 8,
};

enum embmon_signal {
    EMBMON_GRADIENT = 1,   /* before clipping; divided by the loss scale under mixed precision */
    EMBMON_ACTIVATION = 2, /* a layer's output */
    EMBMON_WEIGHT = 3,     /* the whole variable, before the step's update */
    EMBMON_UPDATE = 4,     /* new weight minus old weight */
    EMBMON_IDS = 5,        /* what goes into an embedding; for embmon_wanted() alone */
};

enum embmon_kind {
    EMBMON_OTHER = 0,
    EMBMON_EMBEDDING = 1,
    EMBMON_DENSE = 2,
    EMBMON_RECURRENT = 3,
    EMBMON_CONV = 4,
    EMBMON_NORM = 5,
    EMBMON_ATTENTION = 6,
    EMBMON_CONCATENATE = 7, /* joins its inputs along an axis */
    EMBMON_MERGE = 8,       /* adds, multiplies, ... its inputs element by element */
    EMBMON_POOLING = 9,     /* averages over a sequence */
};

/* What became of its inputs' mask (true for a word, false for padding) when a layer was called. */
enum embmon_mask {
    EMBMON_MASK_UNKNOWN = 0, /* not known, or other than below */
    EMBMON_MASK_NONE = 1,    /* none came, and the layer has no use for one */
    EMBMON_MASK_USED = 2,    /* one came; whether the output still needs it is the layer's to know */
    EMBMON_MASK_PASSED = 3,  /* its output has one: the one that came, or one the layer made */
    EMBMON_MASK_LOST = 4,    /* one came that it does not know of: its output has none */
    EMBMON_MASK_MISSED = 5,  /* it would have used one, and none came */
};

/* Whose shape it is. */
enum embmon_shape_role {
    EMBMON_SHAPE_INPUT = 1,
    EMBMON_SHAPE_OUTPUT = 2,
    EMBMON_SHAPE_GRADIENT = 3, /* of a variable's gradient */
};

enum embmon_phase {
    EMBMON_TRAIN = 1,
    EMBMON_VALIDATE = 2,
    EMBMON_INFER = 3,
};

enum embmon_severity {
    EMBMON_INFO = 1,
    EMBMON_WARNING = 2,
    EMBMON_CRITICAL = 3,
};

enum embmon_alert_state {
    EMBMON_RESOLVED = 0,
    EMBMON_PENDING = 1,
    EMBMON_FIRING = 2,
};

/* How the elements of a large tensor are counted in buckets; all else of it is exact in any case. */
enum embmon_buckets {
    EMBMON_BUCKETS_EXACT = 0,
    EMBMON_BUCKETS_SAMPLED = 1, /* 1 of 16 elements, from 2^20 elements on */
};

/* ---- opening and closing ------------------------------------------------------------------ */

struct embmon_client; /* opaque */

struct embmon_options {
    uint32_t size;
    uint32_t rank;       /* of this process, 0 ... world_size - 1 */
    uint32_t world_size; /* processes that train this model together; 0 means 1 */
    uint32_t every;      /* sample steps that are multiples of this; rounded up to a power of two.
                            0 (auto): as often as `overhead` allows, and at least as rarely as the
                            daemon says */
    /* "unix:PATH", "tcp:HOST:PORT" or "tcp:[IPV6]:PORT". NULL: EMBMON_ADDRESS, else the default
       addresses (embmond(8)) are tried in turn, again at every reconnect. The private thread looks
       a host's name up, at every reconnect, too. */
    const char *address;
    /* The wanted name of the run; the daemon answers with the name it got, see embmon_run().
       NULL: EMBMON_RUN, else <program>-<date>-<time>-<pid>. */
    const char *run;
    int resume; /* not 0: continue the run of this name; open then waits up to 2 s for the daemon */
    /* Called from the private thread with one line (no newline) for every outage and its end.
       NULL: the line goes to stderr. It must not call into the library. */
    void (*log)(void *log_context, const char *line);
    void *log_context;
    /* Over tcp: a file, readable by its owner alone, that holds what embmond's --token-file holds.
       Both ends prove that they know it, and a daemon that cannot is not talked to. It is read by
       embmon_open(). NULL: EMBMON_TOKEN_FILE, else none. */
    const char *token_file;
    int buckets; /* enum embmon_buckets */
    /* With every = 0: the share of a training step that monitoring may add, 0.01 for 1 %. It is
       measured, between calls of embmon_step(), as the difference of sampled steps and the others;
       every is then a power of two up to 1,024. The first 16 steps are all sampled, and so are those
       that the daemon asks for while an alert is decided. 0: every step is sampled. */
    double overhead;
};
#define EMBMON_OPTIONS_INIT                                                                        \
    {                                                                                              \
        sizeof(struct embmon_options), 0, 1, 0, NULL, NULL, 0, NULL, NULL, NULL, 0, 0              \
    }

/* Starts a client. Succeeds while no daemon is there: posts wait in a bounded queue (the oldest
 * go first when it is full) and the thread keeps trying, after 100 ms and at most every 10 s.
 * In: options, or NULL for the defaults. Out: *client, untouched on failure.
 * Errors: EINVAL (rank >= world_size, world_size > 1024, not of enum embmon_buckets, overhead not
 * within 0 ... 1), EADDRESS, ENAME, ENOMEM, ETHREAD. */
EMBMON_API EMBMON_NODISCARD EMBMON_NONNULL(2) int embmon_open(const struct embmon_options *options,
                                                              struct embmon_client **client);

/* Ends open steps, waits up to timeout_ms for what is queued to be acknowledged, says goodbye and
 * frees the client. The one call that waits (beyond timeout_ms only for the end of an array that was
 * lent and is just being read); no other call may run meanwhile or later. NULL is fine. Returns how
 * many posts were not delivered (0 is the good answer); in a forked child always 0. */
EMBMON_API int embmon_close(struct embmon_client *client, int timeout_ms);

/* ---- declaring the model ------------------------------------------------------------------- */

enum { EMBMON_NAME_MAX = 255, EMBMON_RANK_MAX = 8, EMBMON_INPUTS_MAX = 64 };

struct embmon_layer_info {
    uint32_t size;
    int32_t kind;           /* enum embmon_kind */
    const char *path;       /* "inner_model/embedding_1": unique in the run, <= 255 bytes */
    const char *activation; /* "relu", "sigmoid", ... or NULL */
    int32_t trainable;
    int32_t sharded;       /* each rank holds a part of the variable: norms then add over ranks */
    uint64_t rows;         /* embeddings: number of ids; else 0 */
    uint64_t columns;      /* embeddings: width of a row; else 0 */
    int64_t padding_id;    /* embeddings: the id of padding, or EMBMON_NO_PADDING */
    const int32_t *inputs; /* ids of the layers this one reads; may be NULL when input_count is 0 */
    uint32_t input_count;  /* <= EMBMON_INPUTS_MAX */
    uint32_t rank;         /* dimensions in shape, <= EMBMON_RANK_MAX */
    const int64_t *shape;  /* of the output, -1 for a dimension that varies; NULL when rank is 0 */
    int32_t dtype;         /* enum embmon_dtype of the output, 0 when unknown */
    int32_t tied;          /* embeddings: the table is the output's matrix, too */
    int32_t mask;          /* enum embmon_mask, as the layer was called first */
};
#define EMBMON_NO_PADDING INT64_MIN
#define EMBMON_LAYER_INFO_INIT                                                                     \
    {                                                                                              \
        sizeof(struct embmon_layer_info), EMBMON_OTHER, NULL, NULL, 1, 0, 0, 0, EMBMON_NO_PADDING, \
            NULL, 0, 0, NULL, 0, 0, 0                                                              \
    }

/* Declares a layer and returns its id, >= 0. Declare in forward order: "the first layer that ..."
 * in an alert means this order. Declaring the same path again returns the same id.
 * Errors: ENAME, EINVAL, EEXISTS (same path, other kind or size), ELIMIT (4,096 layers). */
EMBMON_API EMBMON_NONNULL(1, 2) int embmon_layer(struct embmon_client *client,
                                                 const struct embmon_layer_info *info);

/* Declares a variable of a layer ("kernel", "bias") and returns its id; posts take either id. An
 * embedding's table needs none: post with the layer's id. shape may be NULL when rank is 0.
 * Errors: EUNKNOWN (layer), ENAME, EINVAL, EEXISTS, EDTYPE, ELIMIT (16,384 variables). */
EMBMON_API EMBMON_NONNULL(1, 3) int embmon_variable(struct embmon_client *client, int layer,
                                                    const char *name, const int64_t *shape,
                                                    uint32_t rank, int dtype);

/* Says what the ids of a table stand for, so that alerts say `id 4711 ("dress")`: words[id], NULL or
 * "" where there is none. An alert needs them when it comes: call it before the table's ids are
 * posted. Once for a layer; the words are copied, each cut to 64 bytes, what is no UTF-8 text in it
 * replaced. Only those of the few ids that a post names are sent. Returns 0.
 * Errors: EUNKNOWN (not a layer), EINVAL, EEXISTS (the layer has its words), ELIMIT (2^24 words;
 * 256 MiB for all layers). */
EMBMON_API EMBMON_NONNULL(1) int embmon_vocabulary(struct embmon_client *client, int layer,
                                                   const char *const *words, size_t count);

/* ---- what is to be flagged ------------------------------------------------------------------ */

/* Sets a threshold of a detector for the layers that a pattern matches: `*` is any characters ('/'
 * too), `?` one character; a pattern without a '/' is of the last part of a path. Detectors of the
 * whole model (loss_diverged) take "*". libembmon(3) lists detectors and keys; what the daemon does
 * not know it refuses with one line in its log.
 *     embmon_threshold(monitor, "gradient_exploding", "inner_model/embedding*", "layer", 50);
 * Of several that match a layer the one made last counts; the same detector, layers and key again
 * replace the value only. Holds for the run. It is sent with the layers, again on every connection.
 * detector, key: at most 31 bytes; layers: at most 255; value: finite. Returns 0.
 * Errors: ENAME (detector, key), EINVAL (layers, value), ELIMIT (256, ignored ones included). */
EMBMON_API EMBMON_NONNULL(1, 2, 3, 4) int embmon_threshold(struct embmon_client *client,
                                                           const char *detector, const char *layers,
                                                           const char *key, double value);

/* The detector is to leave these layers alone, for the whole run. Errors as embmon_threshold(). */
EMBMON_API EMBMON_NONNULL(1, 2, 3) int embmon_ignore(struct embmon_client *client,
                                                     const char *detector, const char *layers);

/* ---- posting ------------------------------------------------------------------------------- */

/* Summarises count elements at data, in place. The gradient or update of an embedding given with
 * count == rows x columns is summarised over its touched rows (rows with a non-zero element), as
 * embmon_post_rows() does, so that dense and sparse gradients look alike; where no row is touched,
 * the zeros are summarised as they are. id: of a layer or a variable. step: >= 0, the trainer's
 * count of training steps. data: aligned as its dtype asks; may be NULL when count is 0. Returns 1
 * when accepted, 0 when this signal is not wanted at this step (see embmon_wanted()). Errors:
 * EUNKNOWN, EINVAL (signal, step), EDTYPE, EDROPPED, ECLOSED. */
EMBMON_API EMBMON_NONNULL(1) int embmon_post(struct embmon_client *client, int id,
                                             enum embmon_signal signal, int64_t step,
                                             const void *data, size_t count,
                                             enum embmon_dtype dtype);

/* A sparse gradient or update: rows values of `columns` elements, for the rows `ids` of the table.
 * Rows of one id are added up first (coalesced), in f64. Statistics are of the touched rows: those
 * whose sum is not all zero; the distinct ids but the
 * declared padding id are counted as looked up. Where none is touched, the
 * zeros of the rows looked up are summarised.
 * ids: rows elements of id_dtype (I32 or I64). values: rows x columns elements of dtype, row-major,
 * of any dtype but the integers.
 * Work is O(rows x columns); its scratch is bounded and kept by the client (64 MiB at most; beyond
 * that the rows are summarised as they come, uncoalesced, and the sample says so).
 * Returns and errors as embmon_post(). */
EMBMON_API EMBMON_NONNULL(1) int embmon_post_rows(struct embmon_client *client, int id,
                                                  enum embmon_signal signal, int64_t step,
                                                  const void *ids, enum embmon_dtype id_dtype,
                                                  const void *values, size_t rows, size_t columns,
                                                  enum embmon_dtype dtype);

/* ---- lending ------------------------------------------------------------------------------- */

/* An array that the client's private thread is to summarise instead of the caller's. */
struct embmon_loan {
    uint32_t size;
    int32_t target;   /* id of a layer or a variable */
    int32_t signal;   /* enum embmon_signal but EMBMON_IDS */
    int32_t dtype;    /* enum embmon_dtype of the elements at data */
    const void *data; /* count elements; of rows: rows x columns */
    size_t count;     /* of rows: not looked at */
    const void *ids;  /* of rows, as in embmon_post_rows(); NULL: a whole array, as in
                         embmon_post() */
    size_t rows, columns;
    int32_t id_dtype; /* of rows: EMBMON_I32 or EMBMON_I64, with which ids may be NULL when rows is
                         0; else 0 */
};
#define EMBMON_LOAN_INIT                                                                           \
    {                                                                                              \
        sizeof(struct embmon_loan), 0, 0, 0, NULL, 0, NULL, 0, 0, 0                                \
    }

/* Posts n arrays as embmon_post() and embmon_post_rows() would now, but lends them to the private
 * thread, which does the work: the call takes some tenths of a us for each, whatever its size. What
 * is posted later arrives later.
 *
 * loans: n structs of one size; not needed when the call has returned. What they lead to is, ids
 * too: it must stay where it is, and not change, until embmon_returned() is at least *ticket, which
 * is 0 where nothing was lent. That takes some milliseconds, up to 50 where less than one post a
 * second is made, and as long as the thread looks a host up or is in the trainer's log callback.
 * When embmon_close() has returned nothing is lent any more; what is lent when the process forks
 * is so in the parent alone.
 *
 * At most 64 MiB are lent at the same time, and nothing waits: an array that would be too much, or
 * finds the inbox full or the client closing, is summarised within the call, as by embmon_post().
 *
 * Returns how many were accepted: not those that are not wanted at this step, nor those that were
 * dropped, as by embmon_post(). Errors: EINVAL (n above 2^31 - 1, size of the first) and ECLOSED,
 * where nothing is posted; else that of the first array that embmon_post() or embmon_post_rows()
 * would refuse, or whose size is another, and all others are posted, before and behind it: *ticket
 * is theirs. */
EMBMON_API EMBMON_NONNULL(1, 5) int embmon_lend(struct embmon_client *client, int64_t step,
                                                const struct embmon_loan *loans, size_t n,
                                                uint64_t *ticket);

/* How far the private thread has come: a number that only grows. What was lent with a ticket up to
 * it is returned. UINT64_MAX in a forked child. */
EMBMON_API EMBMON_NONNULL(1) uint64_t embmon_returned(const struct embmon_client *client);

/* A summary made elsewhere: in a compiled graph, by a collective. A bucket is the sign, the 8-bit
 * exponent and the top 3 mantissa bits of the value rounded toward zero to f32; its index is
 * (f32 bits without the sign) >> 20, 0 ... 2039. docs/PROTOCOL.md draws it. */
struct embmon_summary {
    uint32_t size;
    uint32_t negative_first;  /* index of negative_counts[0] */
    uint32_t negative_length; /* occupied span of the negative values, by magnitude */
    uint32_t positive_first;
    uint32_t positive_length;
    uint64_t count; /* all elements: zeros + NaNs + infinities + the bucket counts */
    uint64_t parts; /* tensors added into this summary, >= 1 */
    uint64_t zeros, nans, positive_infinities, negative_infinities;
    double min, max;     /* of the finite elements, zeros included; 0 when there is none */
    double sum;          /* of the finite elements */
    double absolute_sum; /* of their absolute values */
    double square_sum;   /* of their squares */
    const uint64_t *negative_counts;
    const uint64_t *positive_counts;
};
#define EMBMON_SUMMARY_INIT                                                                        \
    {                                                                                              \
        sizeof(struct embmon_summary), 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL     \
    }

/* Returns and errors as embmon_post(); EINVAL where the summary contradicts itself. */
EMBMON_API EMBMON_NONNULL(1, 5) int embmon_post_summary(struct embmon_client *client, int id,
                                                        enum embmon_signal signal, int64_t step,
                                                        const struct embmon_summary *summary);

/* What reaches an embedding: range, padding, true lengths, distinct and busiest rows are counted,
 * the ids themselves stay here. layer: of a layer; its rows and padding_id are what the ids are
 * compared with (rows 0: none is beyond them). ids: count elements of any dtype; may be NULL when
 * count is 0. Floats are truncated toward zero, as frameworks do, and fractions, NaNs and what the
 * dtype cannot hold exactly are counted. sequence_length: 0 when these are no sequences, else count
 * is a multiple of it. mask: count bytes, 0 for what is masked, or NULL. Scratch is bounded as that
 * of embmon_post_rows(), and one bit per row of the table says which were looked up in this epoch
 * of training (up to 2^31 rows in all tables). At a step that is not sampled ids are looked through,
 * which takes about 1 ns for each, and posted where one is no row or no whole number. Returns and
 * errors as embmon_post(), signal EMBMON_IDS; EUNKNOWN for a variable's id; EINVAL
 * (sequence_length). */
EMBMON_API EMBMON_NONNULL(1) int embmon_post_ids(struct embmon_client *client, int layer,
                                                 int64_t step, const void *ids, size_t count,
                                                 enum embmon_dtype dtype, size_t sequence_length,
                                                 const uint8_t *mask);

/* The same ids as the user fed them: at the model's boundary, before the framework casts. input:
 * the input's name, a path, or "". Otherwise as embmon_post_ids(); ENAME. */
EMBMON_API EMBMON_NONNULL(1, 3) int embmon_post_fed(struct embmon_client *client, int layer,
                                                    const char *input, int64_t step,
                                                    const void *ids, size_t count,
                                                    enum embmon_dtype dtype,
                                                    size_t sequence_length);

/* A shape somewhere along the graph. */
struct embmon_shape {
    uint32_t size;
    uint32_t role;       /* enum embmon_shape_role */
    uint32_t index;      /* of an input: which of `inputs`; else 0 */
    uint32_t inputs;     /* of an input: how many tensors the layer reads, <= EMBMON_INPUTS_MAX;
                            else 0 */
    int32_t axis;        /* along which a concatenation joins, -8 ... 7; else 0 */
    uint32_t rank;       /* dimensions in dims, <= EMBMON_RANK_MAX */
    const int64_t *dims; /* with the batch, -1 for what is not known; NULL when rank is 0 */
    int32_t dtype;       /* enum embmon_dtype, 0 when unknown */
};
#define EMBMON_SHAPE_INIT                                                                          \
    {                                                                                              \
        sizeof(struct embmon_shape), EMBMON_SHAPE_OUTPUT, 0, 0, 0, 0, NULL, 0                      \
    }

/* Posts a shape of a layer or a variable: when it is new, not at every step. Inputs in the order of
 * their index: each is compared with those before it. It is wanted at every step. Returns 1 when accepted. Errors: EUNKNOWN, EINVAL (step, role, index, inputs, axis, rank,
 * dims), EDTYPE, EDROPPED, ECLOSED. */
EMBMON_API EMBMON_NONNULL(1, 4) int embmon_post_shape(struct embmon_client *client, int id,
                                                      int64_t step,
                                                      const struct embmon_shape *shape);

/* A named value of the model: "loss", "learning_rate", "batch_size", "clipped_fraction" are known
 * to the detectors and to TensorBoard by these names; others appear as scalars/<name>. value may be
 * NaN or infinite. Returns and errors as embmon_post(); ENAME. */
EMBMON_API EMBMON_NONNULL(1, 2) int embmon_post_scalar(struct embmon_client *client,
                                                       const char *name, int64_t step,
                                                       double value);

/* Returns 1 when `signal` of `id` is to be posted at the current step, else 0. Weights and updates
 * are wanted at every sampled step at first, after 25 of them at one of ten; while an alert is
 * pending all gradients, and all signals of its layer, are wanted at every step. */
EMBMON_API EMBMON_NONNULL(1) int embmon_wanted(struct embmon_client *client, int id,
                                               enum embmon_signal signal);

/* ---- steps, epochs, phases ------------------------------------------------------------------ */

/* The step is complete on this rank: all its posts have been made. Steps increase by any amount.
 * Returns 1 when the next step is to be sampled, 0 when not. Errors: EINVAL (step < 0), EDROPPED,
 * ECLOSED. */
EMBMON_API EMBMON_NONNULL(1) int embmon_step(struct embmon_client *client, int64_t step);

/* Epoch `epoch` (0, 1, ...) is complete. */
EMBMON_API EMBMON_NONNULL(1) int embmon_epoch(struct embmon_client *client, int64_t epoch);

/* The phase of later posts and steps, of all threads; each phase counts its own steps. Starts as
 * EMBMON_TRAIN. */
EMBMON_API EMBMON_NONNULL(1) int embmon_phase(struct embmon_client *client,
                                              enum embmon_phase phase);

/* ---- posts of a compiled graph --------------------------------------------------------------- */

/* What a framework has compiled, such as a tf.function, posts by operations of its own, which know
 * neither which step is under way nor whether there still is a client. A gate tells them. It is kept
 * until the process ends: nobody knows for how long a graph may be run. */
struct embmon_gate;

/* A gate to the client, shut. Out: *gate, untouched on failure. After embmon_close(), which waits
 * for who is inside, it leads nowhere. Errors: ENOMEM, ECLOSED. */
EMBMON_API EMBMON_NODISCARD EMBMON_NONNULL(1, 2) int embmon_gate_new(struct embmon_client *client,
                                                                     struct embmon_gate **gate);

/* Posts made through the gate from now on are of this step. Errors: EINVAL (step < 0). */
EMBMON_API EMBMON_NONNULL(1) int embmon_gate_open(struct embmon_gate *gate, int64_t step);

/* No step is under way: nothing is posted. Returns 0. */
EMBMON_API EMBMON_NONNULL(1) int embmon_gate_shut(struct embmon_gate *gate);

/* embmon_step() of the step under way; the next one is under way from now on, or after an error none
 * is. own_ns: what the caller has spent on monitoring since the last
 * call, outside of this library; it counts as post_ns. Returns what embmon_step() does. Errors: as
 * embmon_step(); ECLOSED also where no step is under way. */
EMBMON_API EMBMON_NONNULL(1) int embmon_gate_next(struct embmon_gate *gate, uint64_t own_ns);

/* Makes the operations known to TensorFlow, once in a process. library: libtensorflow_framework, as
 * dlopen() gave it. Which operations there are, says client/tensorflow.c; none has an output, fails,
 * or changes what it reads. Returns 0; may wait for another thread that does the same.
 * Errors: EUNKNOWN (it lacks a function of TensorFlow's C API), EEXISTS (another copy of this
 * library has made them known). */
EMBMON_API EMBMON_NODISCARD EMBMON_NONNULL(1) int embmon_tensorflow(void *library);

/* ---- what comes back ------------------------------------------------------------------------ */

/* Returns 1 once the daemon has welcomed this client, and then the name the run got (cut to size
 * bytes with its NUL) and the first step that is not yet recorded in it; else 0 and neither.
 * name may be NULL when size is 0; next_step may be NULL. */
EMBMON_API EMBMON_NONNULL(1) int embmon_run(struct embmon_client *client, char *name, size_t size,
                                            int64_t *next_step);

/* One change of one alert, copied. The strings end in NUL and are cut to fit. */
struct embmon_notice {
    uint32_t size;
    int32_t severity; /* enum embmon_severity */
    int32_t state;    /* enum embmon_alert_state */
    int32_t phase;    /* enum embmon_phase */
    int64_t step, first_step;
    double time;                       /* seconds since 1970 */
    double value, threshold, baseline; /* NaN where there is none */
    char detector[32];
    char layer[256];
    char variable[64];
    char signal[16];
    char reason[16];
    char summary[512];
    char hint[1024];
};
#define EMBMON_NOTICE_INIT                                                                         \
    {                                                                                              \
        .size = sizeof(struct embmon_notice)                                                       \
    }

/* Takes the next alert change the daemon sent, oldest first: 1 and *notice, or 0. The last 64 are
 * kept until taken. */
EMBMON_API EMBMON_NONNULL(1, 2) int embmon_notice(struct embmon_client *client,
                                                  struct embmon_notice *notice);

/* Posts of all kinds (a step's end is one too), counted from open.
 * Always: produced = acked + rejected + dropped + in_flight. */
struct embmon_client_stats {
    uint32_t size;
    uint32_t connected; /* 1 while the daemon is there */
    uint64_t produced;  /* accepted from the trainer, or dropped on the way in */
    uint64_t acked;     /* merged by the daemon */
    uint64_t rejected;  /* refused by the daemon: late, or not valid; each is logged there */
    uint64_t dropped;   /* lost here: the inbox or the queue was full, or the client was closed */
    uint64_t in_flight; /* waiting here, or sent and not yet answered */
    uint64_t skipped;   /* not wanted at their step; not part of produced */
    uint64_t reconnects;
    uint64_t post_ns; /* time spent inside posting calls, all threads but the private one,
                         and what embmon_gate_next() was told */
    double overhead;  /* the share of a training step that monitoring adds; negative: not measured */
    uint32_t every;   /* training steps that are multiples of this are sampled */
};
#define EMBMON_CLIENT_STATS_INIT                                                                   \
    {                                                                                              \
        sizeof(struct embmon_client_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0                       \
    }

EMBMON_API EMBMON_NONNULL(1, 2) int embmon_stats(struct embmon_client *client,
                                                 struct embmon_client_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
