/* The sender: takes posts from the inbox, numbers, keeps and sends them, and hears what the daemon
 * says. A machine without a clock or a thread: sender_turn() does what there is to do now and says
 * how long nothing more will. client.c runs it in the private thread. */
#ifndef EMBMON_CLIENT_SENDER_H
#define EMBMON_CLIENT_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/naming.h"
#include "client/outage.h"
#include "client/state.h"
#include "proto/token.h"

enum {
    SENDER_QUEUE = 32 << 20,
    SENDER_BUSY_MS = 5,
    SENDER_IDLE_MS = 50,
    SENDER_IDLE_AFTER_MS = 1000, /* without a post */
    SENDER_HEARTBEAT_MS = 1000,
    SENDER_HURRY_MS = 100,
    SENDER_WELCOME_MS = 10000, /* a peer that is silent so long after Hello is no daemon */
    SENDER_PROOF_MS = 4000,    /* for the handshake, for which a daemon allows 5 s */
    SENDER_SILENCE_MS = 10000, /* over tcp: a daemon answers the heartbeat of every second */
    SENDER_SETTLED_MS = 1000,  /* a connection that held so long was worth it */
};

struct sender_options {
    uint8_t session[SESSION_BYTES];
    char run[NAME_RUN_MAX + 1];
    char key[NAMING_KEY_MAX + 1];
    uint32_t rank, world_size, every;
    bool resume;
    struct address addresses[ADDRESS_DEFAULTS_MAX];
    size_t address_count;
    struct token token; /* of tcp; empty: none */
    size_t queue_bytes; /* SENDER_QUEUE but in tests */
    struct outage outage;
};

struct sender; /* opaque */

/* state: borrowed, outlives the sender. NULL: out of memory. */
struct sender *sender_new(struct state *state, const struct sender_options *options);
void sender_free(struct sender *sender);

/* One turn without waiting. Returns milliseconds after which the next is due, unless the socket has
 * something before. */
int sender_turn(struct sender *sender, int64_t now_ms);

/* Waits for the socket, at most so long. Who talks without end does not wake the thread for each
 * word: between two times that the daemon is listened to are SENDER_BUSY_MS. */
void sender_wait(const struct sender *sender, int wait_ms, int64_t now_ms);

/* The client is being closed: a daemon is looked for once more, at once. */
void sender_hurry(struct sender *sender);

/* While closing: nothing is left to wait for: all is answered, or no daemon was ever there,
 * not at this last look either. */
bool sender_is_done(const struct sender *sender);

/* Says Bye as far as the socket takes it, and closes. */
void sender_bye(struct sender *sender);

#endif
