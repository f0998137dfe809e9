/* The messages and their fields as lists for the preprocessor: for message.c and
 * message_encode.c, and for the tool that prints messages in the tests. */
#ifndef EMBMON_PROTO_MESSAGE_FIELDS_H
#define EMBMON_PROTO_MESSAGE_FIELDS_H

/* The fields that are the same in both worlds, N numbers and T texts: one list serves both
 * directions, so that none can be forgotten in one of them. */
/* clang-format off */
#define HELLO_FIELDS(N, T) \
    N(protocol_min) N(protocol_max) T(given) T(name) T(key) N(rank) N(world_size) N(resume) N(every)
#define WELCOME_FIELDS(N, T) \
    N(protocol) T(run) N(next_step) N(every) N(sequence) N(frame_limit) N(rejected)
#define LAYER_FIELDS(N, T) \
    N(id) T(path) N(kind) T(activation) N(trainable) N(sharded) N(rows) N(columns) \
    N(has_padding) N(padding_id) N(dtype) N(tied) N(mask)
#define VARIABLE_FIELDS(N, T)  N(id) N(layer) T(name) N(dtype)
#define THRESHOLD_FIELDS(N, T) T(detector) T(layers) T(key) N(value)
#define IGNORE_FIELDS(N, T)    T(detector) T(layers)
#define HEARTBEAT_FIELDS(N, T) N(produced) N(dropped) N(phase) N(hurry) N(unsent)
#define SUMMARY_FIELDS(N, T) \
    N(count) N(parts) N(zeros) N(nans) N(positive_infinities) N(negative_infinities) \
    N(min) N(max) N(sum) N(absolute_sum) N(square_sum)
#define SAMPLE_FIELDS(N, T)    N(sequence) N(target) N(signal) N(phase) N(step)
#define IDS_STATS_FIELDS(N, T) \
    N(count) N(sequences) N(sequence_length) N(negative) N(beyond) N(worst) N(worst_position) \
    N(fractional) N(fractional_value) N(fractional_position) \
    N(inexact) N(inexact_value) N(inexact_position) N(padded) N(leading) N(trailing) N(full) \
    N(empty) N(empty_sequence) N(length_min) N(length_max) N(varied) \
    N(masked) N(mismatched) N(mismatch_position) N(unique) N(unique_error) N(busiest_error) \
    N(rows_seen)
#define IDS_FIELDS(N, T)       N(sequence) N(target) N(phase) N(step) N(fed) T(input) N(dtype)
#define SHAPE_FIELDS(N, T) \
    N(sequence) N(target) N(phase) N(step) N(role) N(index) N(inputs) N(axis) N(dtype)
#define SCALAR_FIELDS(N, T)    N(sequence) N(phase) N(step) T(name) N(value)
#define STEP_END_FIELDS(N, T)  N(sequence) N(phase) N(step) N(posted) N(dropped) N(every)
#define EPOCH_FIELDS(N, T)     N(sequence) N(epoch) N(step)
#define BYE_FIELDS(N, T)       N(undelivered)
#define ACK_FIELDS(N, T)       N(kept) N(durable)
#define NACK_FIELDS(N, T)      N(sequence) N(reason) T(detail)
#define NOTICE_FIELDS(N, T) \
    N(time) N(phase) T(layer) T(variable) T(signal) T(detector) N(severity) N(state) N(step) \
    N(first_step) N(value) N(threshold) N(baseline) T(reason) T(summary) T(hint)
#define WISH_FIELDS(N, T)      N(steps) T(layer)
#define QUERY_FIELDS(N, T)     T(name) T(run) N(firing)
#define REPLY_FIELDS(N, T)     N(status) N(last)
/* clang-format on */

/* type, the name here and of the generated functions, the generated struct, the fields */
#define MESSAGES(X)                                                                                \
    X(FRAME_HELLO, hello, Embmon__Hello, HELLO_FIELDS)                                             \
    X(FRAME_WELCOME, welcome, Embmon__Welcome, WELCOME_FIELDS)                                     \
    X(FRAME_HEARTBEAT, heartbeat, Embmon__Heartbeat, HEARTBEAT_FIELDS)                             \
    X(FRAME_SAMPLE, sample, Embmon__Sample, SAMPLE_FIELDS)                                         \
    X(FRAME_SCALAR, scalar, Embmon__Scalar, SCALAR_FIELDS)                                         \
    X(FRAME_STEP_END, step_end, Embmon__StepEnd, STEP_END_FIELDS)                                  \
    X(FRAME_EPOCH, epoch, Embmon__Epoch, EPOCH_FIELDS)                                             \
    X(FRAME_BYE, bye, Embmon__Bye, BYE_FIELDS)                                                     \
    X(FRAME_ACK, ack, Embmon__Ack, ACK_FIELDS)                                                     \
    X(FRAME_NACK, nack, Embmon__Nack, NACK_FIELDS)                                                 \
    X(FRAME_NOTICE, notice, Embmon__Notice, NOTICE_FIELDS)                                         \
    X(FRAME_WISH, wish, Embmon__Wish, WISH_FIELDS)                                                 \
    X(FRAME_QUERY, query, Embmon__Query, QUERY_FIELDS)                                             \
    X(FRAME_REPLY, reply, Embmon__Reply, REPLY_FIELDS)                                             \
    X(FRAME_IDS, ids, Embmon__Ids, IDS_FIELDS)                                                     \
    X(FRAME_SHAPE, shape, Embmon__Shape, SHAPE_FIELDS)

/* The lists of Layers: field number, the part's name and generated struct, the list's name. */
#define LAYERS_LISTS(X)                                                                            \
    X(1, layer, Embmon__Layer, layers)                                                             \
    X(2, variable, Embmon__Variable, variables)                                                    \
    X(3, threshold, Embmon__Threshold, thresholds)                                                 \
    X(4, ignore, Embmon__Ignore, ignores)

#endif
