/* Steps: the samples of all ranks become one closed struct step, in order.
 *
 * A step closes when every expected rank has ended it, or 5 s after the first did. A rank is
 * expected while it was heard in the last 5 s, or while the run is younger than 5 s and it is below
 * the world size; a rank that missed a step is not expected, in that phase, until it ends a step
 * that is still open or a new session of it joins. Ending a step ends the rank's earlier ones.
 * Steps of a phase close in ascending order; what comes for a closed one is late. Each phase counts
 * its own steps. */
#ifndef EMBMON_DAEMON_STEP_H
#define EMBMON_DAEMON_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "daemon/model.h"
#include "daemon/moment.h"
#include "daemon/rank_list.h"
#include "daemon/shapes.h"
#include "proto/message.h"
#include "proto/name.h"
#include "proto/summary.h"

enum {
    STEP_SIGNALS = 4,
    STEP_PHASES = 3,
    STEP_TIMEOUT_MS = 5000,
    STEP_AHEAD_MAX = 8,  /* steps a rank may be ahead before it is not read from */
    STEPS_OPEN_MAX = 64, /* a phase; beyond it the oldest closes early */
};

/* What came for one variable and signal, added up over the ranks. */
struct step_cell {
    struct summary summary;
    struct rank_list nonfinite; /* ranks whose part holds a NaN or an infinity */
    struct step_cell *next;     /* while it waits to be used again */
};

/* Where ids were looked at: as they reached the layer, or as the user fed them to the model. */
enum ids_source { IDS_REACHED, IDS_FED, IDS_SOURCES };

/* What can be wrong with a rank's ids. */
enum ids_trouble { IDS_OUTSIDE, IDS_INEXACT, IDS_EMPTY, IDS_MISMATCHED, IDS_TROUBLES };

/* What went into an embedding, added up over the ranks. */
struct step_ids {
    struct ids_stats stats;
    uint32_t dtype;                 /* a float one where any rank's was */
    uint32_t example_rank;          /* whose the example positions are */
    char input[NAME_LAYER_MAX + 1]; /* and the name of the input they came by, or "" */
    struct rank_list troubled[IDS_TROUBLES];
    struct step_ids *next; /* while it waits to be used again */
};

/* The shapes a layer has posted. */
struct step_shapes {
    struct shape_list list;
    struct step_shapes *next; /* while it waits to be used again */
};

struct step_scalar {
    double sum, min, max;
    uint64_t count; /* 0: not posted */
};

struct step {
    uint32_t phase;
    uint64_t number;
    struct step_cell **cells; /* [variable * STEP_SIGNALS + signal - 1], NULL: not posted */
    size_t cell_count;
    struct step_scalar *scalars; /* [model's scalar] */
    size_t scalar_count;
    struct step_ids **ids; /* [layer * IDS_SOURCES + source], NULL: not posted */
    size_t ids_count;
    struct step_shapes **shapes; /* [layer], NULL: not posted */
    size_t shapes_count;
    struct rank_list posted; /* ranks with a post other than an end */
    struct rank_list ended;
    bool any_ended;
    uint64_t first_end_ms;
    uint32_t first_rank; /* the first to end it */
    uint32_t waits_for;  /* a rank that had not ended it when last looked */
    bool judged_early;   /* the first rank to end it was looked at for non-finite values */
    struct step *next;   /* the next higher number of this phase, while open */
};

/* The cell of a variable and signal (enum embmon_signal), NULL when nothing was posted. */
const struct step_cell *step_cell(const struct step *step, size_t variable, uint32_t signal);

/* What went into a layer, NULL when nothing was posted; any: where it reached it, or as fed. */
const struct step_ids *step_ids(const struct step *step, size_t layer, enum ids_source source);
const struct step_ids *step_ids_any(const struct step *step, size_t layer);

/* The shapes a layer posted, NULL when none. */
const struct shape_list *step_shapes(const struct step *step, size_t layer);

/* Mean over the ranks, NaN when not posted. */
double step_scalar(const struct step *step, size_t scalar);

struct steps; /* opaque: the open steps of one run */

/* byte_budget: of open steps; above it the oldest closes early. NULL: out of memory. */
struct steps *steps_new(uint32_t world_size, size_t byte_budget, struct moment now);
void steps_set_budget(struct steps *steps, size_t byte_budget);
void steps_free(struct steps *steps);

enum steps_result { STEPS_OK, STEPS_LATE, STEPS_NO_MEMORY, STEPS_WRAPS };

/* Adds a sample or a scalar of a rank. */
enum steps_result steps_sample(struct steps *steps, uint32_t phase, uint64_t number, uint32_t rank,
                               size_t variable, uint32_t signal, const struct summary *summary);
enum steps_result steps_scalar(struct steps *steps, uint32_t phase, uint64_t number, uint32_t rank,
                               size_t scalar, double value);

/* Adds what went into a layer, or a shape. *at: the open step, for who wants to look at it right
 * away. */
enum steps_result steps_ids(struct steps *steps, uint32_t rank, size_t layer,
                            const struct msg_ids *ids, const struct step **at);
enum steps_result steps_shape(struct steps *steps, const struct posted_shape *shape, size_t layer,
                              const struct step **at);

/* The rank has ended this step and all its earlier ones. A step nobody posted to is made, so that
 * it closes in order. */
enum steps_result steps_end(struct steps *steps, uint32_t phase, uint64_t number, uint32_t rank,
                            struct moment now);

void steps_heard(struct steps *steps, uint32_t rank, struct moment now);

/* A new session of the rank begins: whatever the one before it missed, it is expected. */
void steps_join(struct steps *steps, uint32_t rank, struct moment now);

/* All sessions are gone and new ones come: ranks are expected as in a young run. */
void steps_restart(struct steps *steps, struct moment now);

/* The rank's open steps are ended; with bye it is not expected any more. */
void steps_leave(struct steps *steps, uint32_t rank, bool bye, struct moment now);

/* True while the rank has ended STEP_AHEAD_MAX steps that wait for others. */
bool steps_ahead(const struct steps *steps, uint32_t rank);

/* The open step that was ended by a first rank and not judged early yet, for that judgement: NULL
 * when there is none. *rank: the one that ended it. */
struct step *steps_early(struct steps *steps, uint32_t *rank);

/* Takes the next step that is to be closed now, NULL when there is none. force: close even what
 * nobody has ended. Hand it back with steps_recycle() when it is recorded. */
struct step *steps_take(struct steps *steps, struct moment now, bool force);
void steps_recycle(struct steps *steps, struct step *step);

/* Gives back the memory that is kept for steps to come. */
void steps_trim(struct steps *steps);

/* The last closed step of a phase, -1 when none; and setting it when a run is continued. */
int64_t steps_closed(const struct steps *steps, uint32_t phase);
void steps_set_closed(struct steps *steps, uint32_t phase, int64_t number);

/* True when the oldest open step is to be closed for want of room: do not wait for the next tick.
 */
bool steps_full(const struct steps *steps);

/* Bytes held by open steps. */
size_t steps_bytes(const struct steps *steps);

/* Over a restart; loading: into new ones of the same world size, else it fails with this sentence.
 * Ranks are given time as in a young run to come back. */
extern const char step_other_world[];
void steps_carry(struct carry *c, struct steps *steps, const struct model *model,
                 struct moment now);

#endif
