/* The daemon's answer to the query watch, as a plain struct: what is drawn. */
#ifndef EMBMON_DAEMON_CTL_WATCHED_H
#define EMBMON_DAEMON_CTL_WATCHED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { WATCHED_NORMS = 64 };
enum watched_state { WATCHED_OK, WATCHED_PENDING, WATCHED_FIRING };

struct watched_number {
    bool given;
    double value; /* may be NaN or infinite */
};

struct watched_layer {
    const char *path, *detector;
    enum watched_state state;
    struct watched_number norm;
    double norms[WATCHED_NORMS]; /* oldest first */
    size_t norm_count;
};

struct watched_alert {
    const char *state, *severity, *detector; /* as they are called */
    enum watched_state level;
    const char *phase, *layer, *variable, *summary, *hint;
    double time; /* seconds since 1970 */
    long long step, first_step;
};

/* Strings are those of object. What is missing, or of another kind, is "" or not given. */
struct watched {
    json_t *object; /* owned */
    const char *run;
    bool live;
    double time;
    struct watched_number step, ranks, loss, age, firing;
    struct watched_layer *layers; /* owned */
    size_t layer_count;
    struct watched_alert *alerts; /* owned */
    size_t alert_count;
};

/* Takes the reference. False: out of memory, *watched is then empty. */
bool watched_read(struct watched *watched, json_t *object);
void watched_free(struct watched *watched);

#endif
