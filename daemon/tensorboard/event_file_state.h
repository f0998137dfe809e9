/* What event_file.c, event_file_next.c and event_file_carry.c share: the memory behind struct
 * event_file. */
#ifndef EMBMON_TENSORBOARD_EVENT_FILE_STATE_H
#define EMBMON_TENSORBOARD_EVENT_FILE_STATE_H

#include "daemon/pending.h"
#include "daemon/tensorboard/event_file.h"
#include "daemon/tensorboard/folder.h"
#include "daemon/tensorboard/tag_table.h"

/* What may wait for the disk, by kind, so that an alert's text outlives the histograms. A queue
 * that has no reason to wait is written out long before. */
enum {
    LIMIT_HISTOGRAMS = 28 << 20,
    LIMIT_SCALARS = 30 << 20,
    LIMIT_TEXTS = EVENT_FILE_QUEUE,
    TEXT_BYTES_MAX = 1 << 20,
};

struct event_file {
    int folder;           /* owned; holds the lock */
    struct pending queue; /* its fd is the newest file, its `written` what that has */
    struct tag_table *tags;
    struct event_file_stats stats; /* counters; the rest is filled in when asked */
    double wall;                   /* the last finite one */
    bool fresh;
    bool held; /* nothing is written but when asked */
    char name[FOLDER_NAME_MAX];
    uint64_t most;    /* bytes of one file; 0: no matter */
    uint64_t earlier; /* bytes in the files before this one */
    uint64_t durable; /* bytes of this one that are on the disk for sure */
    bool full;        /* this one is to get nothing more */
    bool sealed;      /* and all of it is on the disk */
};

/* Begins a file whose name sorts after all others; its version goes before what waits. Where that
 * fails, all is as it was; *problem: a sentence. */
bool event_file_next(struct event_file *file, const char **problem);

/* True when what waits may be written to the newest file, which is begun here where it is time. */
bool event_file_open_for_more(struct event_file *file);

/* The queue is empty: is this file as long as it may be? */
void event_file_note_full(struct event_file *file);

#endif
