/* Numbers of frames that were sent, are not answered yet, and are no longer kept: what the daemon
 * has may be answered all the same, and is then neither lost nor dropped. One bit each, for the
 * newest 2^20 numbers; an older one is given up. */
#ifndef EMBMON_CLIENT_LET_GO_H
#define EMBMON_CLIENT_LET_GO_H

#include <stdbool.h>
#include <stdint.h>

enum { LET_GO_NUMBERS = 1 << 20 };

/* Zeroed: none. */
struct let_go {
    uint64_t base; /* no lower number is in it */
    uint64_t count;
    uint64_t words[LET_GO_NUMBERS / 64];
};

/* Returns how many were given up for it, itself included. No number is added twice. */
uint64_t let_go_add(struct let_go *numbers, uint64_t number);

/* Takes all up to this number; returns how many. */
uint64_t let_go_take(struct let_go *numbers, uint64_t number);

/* Takes this one; false where it is not there. */
bool let_go_take_one(struct let_go *numbers, uint64_t number);

/* Takes all; returns how many. */
uint64_t let_go_take_all(struct let_go *numbers);

#endif
