/* What run.c, run_member.c and run_query.c share: the memory behind struct run. */
#ifndef EMBMON_DAEMON_RUN_STATE_H
#define EMBMON_DAEMON_RUN_STATE_H

#include "daemon/alert/alert.h"
#include "daemon/alert/jsonl.h"
#include "daemon/baseline.h"
#include "daemon/detect/rules.h"
#include "daemon/measure.h"
#include "daemon/member.h"
#include "daemon/run.h"
#include "daemon/step.h"
#include "daemon/tensorboard/record.h"

enum { COMPLAINTS_MAX = 16 }; /* different lines about what trainers declared */

struct run {
    char *name, *wanted, *key;
    uint32_t world_size;
    uint32_t every; /* sampled steps are multiples of this */
    struct model model;
    struct run_member **members;
    size_t member_count, member_capacity;
    struct steps *steps;
    struct baseline baseline;
    struct measures measures;
    struct rules rules;
    uint64_t byte_budget; /* of open steps and windows */
    uint64_t idle_ms;     /* without a word until it may be closed */
    double
        *norms; /* [norm_count]: each layer's gradient norm at its last training step; -1: none */
    size_t norm_count;
    struct alerts *alerts;
    struct record *record;
    struct jsonl *jsonl;
    uint64_t steps_closed;
    uint64_t heard_ms;    /* of any session */
    uint64_t wished_step; /* when members were last asked for every step */
    bool wishing;
    bool ended; /* run_end() was called, and nobody has joined since */
    uint64_t acked, rejected;
    char refused[RULES_SENTENCE];        /* of the last Layers message, for its Nack */
    uint32_t complaints[COMPLAINTS_MAX]; /* hashes of what was logged */
    size_t complaint_count;
    int write_error;   /* as last logged */
    uint64_t retry_ms; /* while it is set: when to write again */
};

/* Judges and closes the steps that are due; force: all of them. */
void run_process(struct run *run, struct moment now, bool force);

/* The trainers have gone for good: closes all steps, ends the alerts, records the open windows. The
 * run stays loaded and may go on. */
void run_end(struct run *run, struct moment now);

#endif
