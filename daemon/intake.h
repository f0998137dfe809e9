/* What goes into an embedding, as far as it is remembered: what training fed, and the last few
 * hundred sequences of validation and of inference, which are compared with it. Sequences have true
 * lengths (without the padding) only where the table declares a padding id. */
#ifndef EMBMON_DAEMON_INTAKE_H
#define EMBMON_DAEMON_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/carry.h"
#include "proto/ids.h"

enum { INTAKE_PHASES = 3, INTAKE_WINDOW = 400 }; /* sequences: the older count half as much */

enum intake_side { SIDE_UNKNOWN, SIDE_TRAILING, SIDE_LEADING }; /* where the padding stands */

/* Sums over the latest sequences of a phase, older ones weighted down. */
struct intake_recent {
    uint64_t total; /* sequences, none weighted down */
    double sequences, positions, padded;
    double side;      /* sequences that are padded */
    double wrong;     /* of them those padded on the side that training does not pad */
    double unpadded;  /* sequences without padding, shorter than any input in training */
    double last_sick; /* wrong and unpadded ones of the latest step */
    double last_side; /* padded ones of the latest step */
};

struct intake {
    /* what training fed */
    uint64_t steps, sequences;
    double share_mean, share_spread; /* of the padding in a step: mean, sum of squared deviations */
    uint64_t leading, trailing;      /* sequences with padding before, after their ids */
    uint64_t length_min, length_max; /* true lengths; 0: none yet */
    uint64_t input_min, input_max;   /* lengths with the padding */
    struct intake_recent recent[INTAKE_PHASES]; /* [phase - 1]; not of training */
    uint64_t rows_seen; /* distinct rows one client has looked up in this epoch */
    bool rows_known;
};

/* Takes a step of training, or of another phase. */
void intake_train(struct intake *intake, const struct ids_stats *s);
void intake_compare(struct intake *intake, uint32_t phase, const struct ids_stats *s);

/* Where training pads, where it almost always pads on one side. */
enum intake_side intake_side(const struct intake *intake);

/* Standard deviation of the padding's share from step to step in training. */
double intake_spread(const struct intake *intake);

/* The share of padding in the latest sequences of a phase; NaN when there are none. */
double intake_share(const struct intake *intake, uint32_t phase);

void intake_carry(struct carry *c, struct intake *intake); /* over a restart */

#endif
