/* What record.c and record_open.c share: the memory behind struct record. */
#ifndef EMBMON_TENSORBOARD_RECORD_STATE_H
#define EMBMON_TENSORBOARD_RECORD_STATE_H

#include "daemon/tensorboard/phase.h"
#include "daemon/tensorboard/record.h"

struct record {
    struct tag_writer writer;
    const struct model *model;
    struct phase_windows *phases[STEP_PHASES]; /* made with their first step */
    int64_t last_step[STEP_PHASES];
};

#endif
