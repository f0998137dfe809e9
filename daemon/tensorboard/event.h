/* Events as records: each call appends one whole record to a queue, or nothing. The only module
 * that knows the generated code of tensorboard.proto. */
#ifndef EMBMON_TENSORBOARD_EVENT_H
#define EMBMON_TENSORBOARD_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/pending.h"
#include "daemon/tensorboard/histogram.h"

struct event_head {
    double wall; /* seconds since 1970, finite */
    uint64_t step;
    const char *tag; /* borrowed; NULL for the file's own events */
    bool describe;   /* with metadata: the tag's first value in this file */
};

/* All: false when the queue would then hold more than `limit` bytes, or memory is short; the queue
 * is then unchanged. */

/* The first record of a file. */
bool event_version(struct pending *queue, size_t limit, const struct event_head *head);

/* SessionLog START: what follows is a new session of the trainer from head->step on. */
bool event_start(struct pending *queue, size_t limit, const struct event_head *head);

/* Written as f32, as the readers want it; a finite value stays finite. */
bool event_scalar(struct pending *queue, size_t limit, const struct event_head *head, double value);

/* A DT_DOUBLE tensor of [left, right, count] rows. */
bool event_histogram(struct pending *queue, size_t limit, const struct event_head *head,
                     const struct histogram *histogram);

/* The same two by protobuf-c alone, which writes the metadata; and for tests: byte for byte it is
 * what event_wire.h writes. */
bool event_scalar_by_library(struct pending *queue, size_t limit, const struct event_head *head,
                             double value);
bool event_histogram_by_library(struct pending *queue, size_t limit, const struct event_head *head,
                                const struct histogram *histogram);

/* n bytes of UTF-8 Markdown. */
bool event_text(struct pending *queue, size_t limit, const struct event_head *head,
                const char *markdown, size_t n);

/* n bytes of a serialized layout, for the CUSTOM SCALARS page. */
bool event_layout(struct pending *queue, size_t limit, const struct event_head *head,
                  const uint8_t *layout, size_t n);

/* The same event again, n bytes as they were packed, with metadata in any case; the version of a
 * file is left out. False also where it is none of ours. */
bool event_describe(struct pending *queue, const uint8_t *event, size_t n);

#endif
