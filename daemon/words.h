/* What ids of a table stand for, as far as trainers have said: the newest few of them. Posts of ids
 * bring the words of the ids that they name (proto/ids.h), so that who names one of these in a
 * sentence finds its word here, whichever rank had it. */
#ifndef EMBMON_DAEMON_WORDS_H
#define EMBMON_DAEMON_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/ids.h"

enum { WORDS_KEPT = 128 };

struct words; /* opaque: of one table */

/* Takes them in; *to is made when it is NULL. Without memory they are not known. */
void words_take(struct words **to, const struct ids_word *words, size_t count);
void words_free(struct words *words);

/* The word of an id, NULL where it is not known; valid until the next words_take(). words: may be
 * NULL. */
const char *words_find(const struct words *words, int64_t id);

#endif
