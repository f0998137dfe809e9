/* Messages as plain structs, every field validated: the only module that knows the generated code.
 *
 * Decoding takes a frame's payload and gives a struct whose strings and arrays live in the
 * decoder's arena: borrowed until the next message_decode() with that decoder or its end. The arena
 * has a budget (hostile payloads unpack to a hundred times their size); a payload that needs more
 * is refused. Encoding appends a whole plain frame, header included, to a buffer.
 */
#ifndef EMBMON_PROTO_MESSAGE_H
#define EMBMON_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/ids.h"
#include "proto/summary.h"

enum {
    PROTOCOL_VERSION = 1,
    SESSION_BYTES = 16,
    RANKS_MAX = 1024,
    LAYERS_MAX = 4096,
    VARIABLES_MAX = 16384,
    RULES_MAX = 256, /* thresholds and ignores together */
    SHAPE_MAX = 8,
    INPUTS_MAX = 64,
    EVERY_MAX = 1 << 20,
    ID_MAX = 1 << 20,    /* ids of layers and variables, chosen by the client */
    TEXT_MAX = 64 << 10, /* bytes of a Reply chunk */
};
#define STEP_MAX ((uint64_t)1 << 53) /* beyond it a double, and so a chart, loses steps */

struct msg_hello {
    uint32_t protocol_min, protocol_max;
    uint8_t session[SESSION_BYTES];
    const char *given, *name, *key; /* "" where absent, never NULL */
    uint32_t rank, world_size;
    bool resume;
    uint32_t every;
};

struct msg_welcome {
    uint32_t protocol;
    const char *run;
    uint64_t next_step;
    uint32_t every;
    uint64_t sequence;
    uint32_t frame_limit;
    uint64_t rejected;
};

struct msg_layer {
    uint32_t id;
    const char *path;
    uint32_t kind;
    const char *activation;
    bool trainable, sharded, tied, has_padding;
    uint64_t rows, columns;
    int64_t padding_id;
    const uint32_t *inputs;
    size_t input_count;
    const int64_t *shape;
    size_t shape_length;
    uint32_t dtype;
    uint32_t mask;
};

struct msg_variable {
    uint32_t id, layer;
    const char *name;
    const int64_t *shape;
    size_t shape_length;
    uint32_t dtype;
};

struct msg_threshold {
    const char *detector, *layers, *key; /* layers: a glob, see daemon/glob.h */
    double value;
};

struct msg_ignore {
    const char *detector, *layers;
};

struct msg_layers {
    const struct msg_layer *layers;
    size_t layer_count;
    const struct msg_variable *variables;
    size_t variable_count;
    const struct msg_threshold *thresholds;
    size_t threshold_count;
    const struct msg_ignore *ignores;
    size_t ignore_count;
};

struct msg_heartbeat {
    uint64_t produced, dropped;
    uint32_t phase;  /* of what the client posts now; 0: it does not say */
    bool hurry;      /* the client waits for what it has posted to be kept */
    uint64_t unsent; /* posts that are in its memory alone, and follow if it lives */
};

struct msg_sample {
    uint64_t sequence;
    uint32_t target, signal, phase;
    uint64_t step;
    struct summary summary; /* decoded: its counts are borrowed, do not summary_free() */
};

struct msg_ids {
    uint64_t sequence;
    uint32_t target, phase;
    uint64_t step;
    bool fed;          /* at the model's boundary, before the framework casts */
    const char *input; /* the input's name, or "" */
    uint32_t dtype;
    struct ids_stats stats;
    const struct ids_word *words; /* of ids that stats name, as far as known */
    size_t word_count;            /* at most IDS_WORDS_MAX */
};

struct msg_shape {
    uint64_t sequence;
    uint32_t target, phase;
    uint64_t step;
    uint32_t role;          /* enum embmon_shape_role */
    uint32_t index, inputs; /* of an input: which of how many; else 0 and 0 */
    int64_t axis;           /* of a concatenation */
    uint32_t dtype;
    const int64_t *dims; /* with the batch; -1: not known */
    size_t dim_count;
};

struct msg_scalar {
    uint64_t sequence;
    uint32_t phase;
    uint64_t step;
    const char *name;
    double value; /* any double */
};

struct msg_step_end {
    uint64_t sequence;
    uint32_t phase;
    uint64_t step, posted, dropped;
    uint32_t every; /* as its client would have it now; 0: as its Hello said */
};

struct msg_epoch {
    uint64_t sequence, epoch, step;
};

struct msg_bye {
    uint64_t undelivered;
};

struct msg_ack {
    uint64_t kept, durable;
};

enum nack_reason {
    NACK_INVALID = 1, /* a field is out of its range */
    NACK_LATE = 2,    /* its step is already closed */
    NACK_UNKNOWN = 3, /* its layer or variable was not declared */
    NACK_LIMIT = 4,   /* a limit of the run is reached */
    NACK_REFUSED = 5, /* Hello: no common protocol, bad name, no folder; the connection ends */
};

struct msg_nack {
    uint64_t sequence;
    uint32_t reason;
    const char *detail;
};

struct msg_notice {
    double time;
    uint32_t phase;
    const char *layer, *variable, *signal, *detector;
    uint32_t severity, state;
    uint64_t step, first_step;
    double value, threshold, baseline;
    const char *reason, *summary, *hint;
};

struct msg_wish {
    uint32_t steps;
    const char *layer;
};

struct msg_query {
    const char *name, *run;
    bool firing;
};

struct msg_reply {
    uint32_t status;
    bool last;
    const uint8_t *text;
    size_t length;
};

struct message {
    enum frame_type type;
    union {
        struct msg_hello hello;
        struct msg_welcome welcome;
        struct msg_layers layers;
        struct msg_heartbeat heartbeat;
        struct msg_sample sample;
        struct msg_scalar scalar;
        struct msg_step_end step_end;
        struct msg_epoch epoch;
        struct msg_bye bye;
        struct msg_ack ack;
        struct msg_nack nack;
        struct msg_notice notice;
        struct msg_wish wish;
        struct msg_query query;
        struct msg_reply reply;
        struct msg_ids ids;
        struct msg_shape shape;
    };
};

struct message_decoder; /* opaque: the arena */

/* NULL when out of memory. */
struct message_decoder *message_decoder_new(void);
void message_decoder_free(struct message_decoder *decoder);

/* Messages may unpack to so many bytes, 8 MiB to 64 MiB, which is the default. */
void message_decoder_limit(struct message_decoder *decoder, size_t most);

/* Every message is left to protobuf-c: for tests, which compare with it what is decoded by hand. */
void message_decoder_by_library(struct message_decoder *decoder);

/* What the last message took; *full: it was refused because it would take more than it may. */
size_t message_decoder_spent(const struct message_decoder *decoder, bool *full);

enum message_result {
    MESSAGE_OK = 0,
    MESSAGE_UNKNOWN,   /* a frame type of a newer peer: skip it */
    MESSAGE_INVALID,   /* a field is missing or out of its range */
    MESSAGE_MALFORMED, /* not protobuf, or over the arena's budget */
};

/* Decodes and validates a frame. MESSAGE_INVALID and MESSAGE_MALFORMED: *problem is a static
 * sentence, and for a numbered message that could be read message->type and its sequence are set,
 * so that it can be answered with a Nack; the rest of *message is not to be used. */
enum message_result message_decode(struct message_decoder *decoder, const struct frame *frame,
                                   struct message *message, const char **problem);

/* The sequence number of a numbered message (Sample, Ids, Shape, Scalar, StepEnd, Epoch); 0 for the
 * others. */
uint64_t message_sequence(const struct message *message);

/* Bytes of the whole frame message_encode() writes. */
size_t message_size(const struct message *message);

/* Writes the whole frame (header and payload) to `to`, which holds message_size() bytes, and
 * returns its length. Strings may be NULL for "". No allocation. Both are 0 for a type that
 * is unknown. */
size_t message_encode(const struct message *message, uint8_t *to);

#endif
