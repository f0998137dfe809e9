/* Where embmond is to be found: the addresses of its configuration, served, and the token that
 * guards those of tcp. */
#ifndef EMBMON_DAEMON_PLACES_H
#define EMBMON_DAEMON_PLACES_H

#include <limits.h>
#include <stddef.h>

#include "daemon/config.h"
#include "daemon/listen.h"
#include "proto/token.h"

enum { PLACES_TEXT_MAX = PATH_MAX + 128 };

struct places {
    struct listener listeners[CONFIG_LISTEN_MAX];
    size_t count;
    struct token token; /* empty: none */
};

/* The token of a configuration, and whether it may go without one at these addresses; nothing is
 * bound. 0, or an exit status and one line in problem. */
int places_token(const struct config *config, const struct address *listen, size_t count,
                 struct token *token, char problem[LISTEN_PROBLEM_MAX]);

/* Takes the token, then the addresses: those given, else `handed` ones of the supervisor, else a
 * private one for COMMAND, else the default. On failure what was opened stays to be closed. */
int places_open(struct places *places, const struct config *config, size_t handed,
                char problem[LISTEN_PROBLEM_MAX]);
void places_close(struct places *places);

/* Says in the log what is served, and what of it is less guarded, or more, than one might
 * think. */
void places_say(const struct places *places, const char *logdir);

/* The address COMMAND is to use, from whatever folder. */
void places_for_command(const struct places *places, char text[PLACES_TEXT_MAX]);

#endif
