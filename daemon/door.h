/* Who is let in: how many connections there may be, how many of them over tcp, how many of those
 * without a proof of the token yet, and not who has just failed to prove it again and again; and
 * how much may be kept for them. Pure: no clock, no socket. */
#ifndef EMBMON_DAEMON_DOOR_H
#define EMBMON_DAEMON_DOOR_H

#include <stdbool.h>

#include "daemon/ceilings.h"
#include "daemon/knocks.h"
#include "proto/tcp.h"

struct door {
    const struct ceilings *ceilings; /* borrowed; may change */
    struct usage *usage;             /* borrowed: connections are counted here */
    struct knocks knocks;
};

struct guest {
    bool tcp;
    bool guarded;         /* it has to prove the token */
    struct tcp_name name; /* where it is; of tcp alone */
    bool inside, unproven;
};

enum door_answer {
    DOOR_OPEN,
    DOOR_FULL,          /* too many connections */
    DOOR_FULL_TCP,      /* too many over tcp */
    DOOR_FULL_UNPROVEN, /* too many that have not proven the token */
    DOOR_KNOCKED,       /* too many failures from there */
};

/* Only who gets DOOR_OPEN is inside, and counts until door_leave(). */
enum door_answer door_enter(struct door *door, struct guest *guest, uint64_t now_ms);

/* It has proven the token. */
void door_proven(struct door *door, struct guest *guest, uint64_t now_ms);

/* Nothing more is heard from it; without a proof until then it has failed. Again does nothing. */
void door_hush(struct door *door, struct guest *guest, uint64_t now_ms);

/* Its socket is closed. */
void door_leave(struct door *door, struct guest *guest);

/* True while all together hold so much that nobody may begin to hold more: as much as they may, or
 * a sixteenth of it where the process has no memory left. */
bool door_is_crowded(const struct door *door);

/* NULL when a peer that has not read `unsent` bytes may be kept `more`; else why it is given up, a
 * static sentence. */
const char *door_may_wait(struct door *door, size_t unsent, size_t more);

#endif
