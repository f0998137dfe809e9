/* Counting of large tensors by pairs of elements (client/kernel.h): when it pays, in which window,
 * and what comes of it. A tensor's first elements are counted one by one, in the tables; how these
 * are spread says whether pairs are worth it. Where they are not, it is asked again later; where
 * elements change, it is given up.
 *
 * The counts of pairs are 128 KiB, more than a stack should be asked for, and must be in memory
 * that is there already: a few of them are reserved when a client is opened. The pages of one
 * appear when it is first used, and are kept. Threads do not wait for each other: who finds none
 * counts one by one, and gets the same.
 */
#ifndef EMBMON_CLIENT_PAIRS_H
#define EMBMON_CLIENT_PAIRS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/kernel.h"

enum {
    PAIRS_BOARDS = 2, /* a thread of the trainer, and the client's own */

    PAIRS_FROM = 1 << 17, /* elements of a tensor: fewer are not worth clearing and adding up */

    /* Elements that are counted at once: some thousand, for the sums of a loop's lanes to be
     * nothing beside, and so many that as few as can be are left when no more fit in. */
    PAIRS_CHUNK = KERNEL_PAIRS_FILL / 4 / KERNEL_PAIRED * KERNEL_PAIRED,
};

struct pairs {
    atomic_flag held;
    bool open;     /* there is a window: pairs are counted now */
    uint32_t base; /* of the window */
    uint32_t wait; /* pieces to be counted one by one until it is asked again */
    uint32_t patience;
    uint32_t dense;                   /* pieces whose elements are all looked at */
    uint32_t filled;                  /* elements counted in pairs */
    _Alignas(64) kernel_pairs counts; /* all 0 but while held */
};

struct pairs_boards {
    struct pairs *boards; /* owned: PAIRS_BOARDS, or NULL: nothing is counted by pairs */
};

/* False when the system refuses the reservation. */
bool pairs_open(struct pairs_boards *boards);
void pairs_close(struct pairs_boards *boards);

/* NULL where there is none left. What was counted has been taken out before it is given back. */
struct pairs *pairs_take(struct pairs_boards *boards);
void pairs_give(struct pairs *pairs);

/* Before a tensor: no window is open, and its first piece will say. */
void pairs_start(struct pairs *pairs);

/* A piece of a tensor, n elements in whole groups, and what its loop found. */
struct pairs_piece {
    const struct kernel_loops *loops;
    enum embmon_dtype dtype;
    const void *data;
    size_t n;
};

/* A window is open, and there is a loop that counts in it. */
bool pairs_are_open(const struct pairs *pairs, const struct pairs_piece *piece);

/* There is no room for n more elements: what is counted is to be taken out. */
bool pairs_are_full(const struct pairs *pairs, size_t n);

/* Counts a piece of at most PAIRS_CHUNK in the window that is open, and in the tables what is
 * outside. Ends early, and may close the window, where that is much. min, max: of all finite
 * elements before, both 0 where there are none. Returns how many elements were taken. */
size_t pairs_count(struct pairs *pairs, struct kernel_sums *sums, const struct pairs_piece *piece,
                   kernel_tables tables, double min, double max);

/* A piece was counted in the tables, with what was before it: opens a window if it pays. */
void pairs_learn(struct pairs *pairs, const struct kernel_sums *sums,
                 const struct pairs_piece *piece, kernel_tables tables);

/* Clears what is counted, and gives it: counts[i] is that of a positive place i, or of a negative
 * place i - KERNEL_PLACES / 2, a place i that of bucket *base + i. Returns how many elements were
 * counted since it was last taken out; 0: counts is not written. */
size_t pairs_take_out(struct pairs *pairs, const struct kernel *kernel,
                      uint32_t counts[KERNEL_PLACES], uint32_t *base);

#endif
