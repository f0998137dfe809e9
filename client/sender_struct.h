/* The inside of the sender, for sender.c (what we say) and answers.c (what we hear) alone. */
#ifndef EMBMON_CLIENT_SENDER_STRUCT_H
#define EMBMON_CLIENT_SENDER_STRUCT_H

#include "client/link.h"
#include "client/model.h"
#include "client/queue.h"
#include "client/sender.h"
#include "client/thresholds.h"
#include "proto/handshake.h"

enum { OPEN_STEPS = 16 };

/* Posts of a step that has not ended; phase 0: the place is free. */
struct open_step {
    uint32_t phase;
    uint64_t step, posted;
    uint64_t used; /* number of its last post */
};

struct sender {
    struct state *state; /* borrowed */
    struct sender_options options;
    struct link *link;
    struct queue *queue;
    struct message_decoder *decoder;
    uint64_t sequence;           /* last number given */
    uint64_t sent;               /* highest number ever sent */
    uint64_t nacks;              /* heard of those that the daemon has sent */
    uint64_t nacks_lost;         /* not heard: so many of the next acks are refusals */
    uint64_t nacks_lost_to;      /* none of them is of a higher number */
    uint32_t declared;           /* targets sent on this connection */
    struct thresholds_told told; /* and thresholds */
    uint32_t frame_limit;
    bool failed;      /* an attempt to connect has failed */
    bool closing;     /* the trainer waits */
    uint64_t hurried; /* highest number sent when the daemon was last asked to hurry */
    int64_t hurry_ms; /* and when that was */
    int64_t hello_ms, heartbeat_ms, busy_ms;
    int64_t heard_ms;  /* when the daemon said something last */
    int64_t listen_ms; /* when it is listened to again */
    bool proving;      /* it has not proven yet that it knows our token */
    struct handshake handshake;
    struct open_step steps[OPEN_STEPS];
    struct model_batch batch;
    struct thresholds_batch thresholds;
    uint64_t loan_counts[LOANS_COUNTS]; /* of the sample that is made of a loan */
};

/* Says Hello: the connection is there, and its other end is whom we take it for. */
void sender_greet(struct sender *s, int64_t now_ms);

#endif
