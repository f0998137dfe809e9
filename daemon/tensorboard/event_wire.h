/* The two events that nearly all of a file consists of, written by hand: scalars and histograms
 * without metadata, straight into the queue. protobuf-c, by way of structs and of a copy of the
 * counts, takes several times as long. */
#ifndef EMBMON_TENSORBOARD_EVENT_WIRE_H
#define EMBMON_TENSORBOARD_EVENT_WIRE_H

#include "daemon/tensorboard/event.h"

/* As event_scalar() and event_histogram(); head->describe is not looked at, the histogram has at
 * least one bucket. */
bool event_wire_scalar(struct pending *queue, size_t limit, const struct event_head *head,
                       float value);
bool event_wire_histogram(struct pending *queue, size_t limit, const struct event_head *head,
                          const struct histogram *histogram);

#endif
