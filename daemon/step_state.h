/* What step.c and step_posts.c share: the memory behind struct steps. */
#ifndef EMBMON_DAEMON_STEP_STATE_H
#define EMBMON_DAEMON_STEP_STATE_H

#include "daemon/step.h"

struct rank_state {
    bool heard;               /* ever, and has not said goodbye */
    bool missed[STEP_PHASES]; /* a step timed out without it: often only one rank validates */
    uint64_t heard_ms;
};

struct steps {
    uint32_t world_size;
    size_t byte_budget, bytes;
    uint64_t started_ms;
    struct step *open[STEP_PHASES]; /* ascending */
    size_t open_count[STEP_PHASES];
    int64_t closed[STEP_PHASES];
    struct rank_state *ranks; /* [world_size] */
    uint32_t *waiting; /* [rank * STEP_PHASES + phase - 1]: open steps that the rank has ended */
    struct step *spare_steps;
    size_t spare_count;
    struct step_cell *spare_cells;
    struct step_ids *spare_ids;
    struct step_shapes *spare_shapes;
};

/* The open step of this number, made when it is not there; NULL when out of memory. */
struct step *steps_open(struct steps *steps, uint32_t phase, uint64_t number);

/* True when the step is closed already. */
bool steps_late(const struct steps *steps, uint32_t phase, uint64_t number);

/* What a step holds beside what was posted to it. */
size_t step_bytes(const struct step *step);

/* It is open, and as it was loaded: counts as waiting for the ranks that have ended it. */
void steps_count_waiting(struct steps *steps, const struct step *step);

/* Empties a step; what held its posts is kept for others. */
void posts_recycle(struct steps *steps, struct step *step);
void posts_free(struct step *step); /* of an empty one */
void posts_free_spares(struct steps *steps);

/* Makes one that was loaded count. */
void posts_count_bytes(struct steps *steps, const struct step *step);

#endif
