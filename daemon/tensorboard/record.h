/* The recorder of one run: closed steps and alerts become values of an event file, by way of
 * windows. The only file that knows what the tags are called. */
#ifndef EMBMON_TENSORBOARD_RECORD_H
#define EMBMON_TENSORBOARD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/alert/alert.h"
#include "daemon/detect/rules.h"
#include "daemon/measure.h"
#include "daemon/moment.h"
#include "daemon/tensorboard/event_file.h"
#include "daemon/thrift.h"

struct record; /* opaque */

/* Opens the run's folder (see event_file_open()). model: borrowed for the record's life. NULL and
 * *problem when that fails. */
struct record *record_open(const char *directory, const struct model *model, struct moment now,
                           const char **problem);

/* The same in three steps, for who knows from elsewhere where the run stands, record_carry(): see
 * event_file_begin(). */
struct record *record_begin(const char *directory, const struct model *model, struct moment now,
                            const char **problem);
bool record_learn(struct record *record, const char **problem);
bool record_create(struct record *record, const char **problem);

/* Over a restart; loading: into one that has begun, with its model loaded. */
void record_carry(struct carry *c, struct record *record);

/* From now on nothing is written but by record_flush() and record_close(). */
void record_hold(struct record *record);

/* One event file after the other: see event_file.h. */
void record_limit(struct record *record, uint64_t file_bytes);
bool record_unsealed(const struct record *record);
struct event_file_mark record_mark(struct record *record);
void record_synced(struct record *record, struct event_file_mark mark);
uint64_t record_durable(const struct record *record);
bool record_deleted(const struct record *record);
bool record_again(struct record *record, const char *directory, const char **problem);

/* The run's folder and the event file, borrowed. */
int record_folder(const struct record *record);
int record_file(const struct record *record);

/* Records what is in the open windows, which go on at the width they have: who looks at the files
 * meanwhile shall miss nothing. */
void record_windows(struct record *record, struct moment now);

/* Records what is in the open windows, whether they are due or not: the trainers have gone. */
void record_finish(struct record *record, const struct alerts *alerts, struct moment now);

/* Flushes and closes; open windows that record_finish() has not written are lost. NULL is fine. */
void record_close(struct record *record);

/* How many layers and variables of its model there are windows for, in a phase. */
struct record_room {
    bool any; /* a step of it has closed, or an alert has come up */
    size_t layers, variables;
};
void record_rooms(const struct record *record, uint32_t phase, struct record_room *has);

/* The last training, validation or inference step found in or written to the files; -1: none. */
int64_t record_last_step(const struct record *record, uint32_t phase);

/* The next event is the first of a trainer that starts, or resumes: SessionLog START. A folder
 * without event files begins with one by itself. */
void record_start(struct record *record);

/* The monitor's own losses so far, shown under embmond/. */
struct record_losses {
    uint64_t dropped, rejected;
};

/* Records a closed step. rules: resolved. Changes told by record_alert() before belong to it. */
void record_step(struct record *record, const struct measures *m, const struct baseline *baseline,
                 const struct rules *rules, const struct alerts *alerts,
                 const struct record_losses *losses, struct moment now);

/* Records what was lost since the last closed step, as no other may come that shows it: one step
 * behind the last, where it is more than shown. */
void record_lost(struct record *record, const struct record_losses *losses, struct moment now);

/* Takes a change of an alert: its state line and its text. fired: alerts fired so far. A layer
 * whose alert goes pending or firing is recorded step by step for a while, without what its windows
 * have collected before. */
void record_alert(struct record *record, const struct alert_change *change, uint64_t fired,
                  struct moment now);

bool record_flush(struct record *record);
/* Gives back the memory that is kept for values to come. */
void record_trim(struct record *record);
size_t record_bytes(const struct record *record); /* held by open windows */
/* Bytes queued for the event file: asked after every message. */
size_t record_waiting(const struct record *record);
void record_stats(const struct record *record, struct event_file_stats *stats);

/* From now on these windows wait, until record_finish(): what is at an end is written. */
void record_set_thrift(struct record *record, enum thrift thrift);

#endif
