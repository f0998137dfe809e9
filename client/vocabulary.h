/* What the ids of a table stand for, as the trainer gave it: words by id, copied into one block.
 *
 * The words come from data: what is no text in them is replaced, and they are cut to
 * IDS_WORD_BYTES, so that whatever shows them may show them as they are. Of a batch only those
 * words are sent that belong to the few ids its statistics name.
 *
 * All tables share one reservation made when the client is opened; a page is there once words are
 * on it.
 */
#ifndef EMBMON_CLIENT_VOCABULARY_H
#define EMBMON_CLIENT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ids.h"

enum { VOCABULARY_WORDS_MAX = 1 << 24 };
#define VOCABULARIES_BYTES ((uint64_t)256 << 20)

struct vocabularies {
    uint8_t *memory; /* owned, or NULL: no table has words */
    _Atomic uint64_t used;
};

struct vocabulary; /* opaque: of one table */

/* False when the system refuses the reservation; it is then valid and empty. */
bool vocabularies_open(struct vocabularies *all);
void vocabularies_close(struct vocabularies *all);

/* Copies words, of which some may be NULL; valid until vocabularies_close(). NULL: they are more
 * than VOCABULARY_WORDS_MAX, or there is no room. */
struct vocabulary *vocabulary_add(struct vocabularies *all, const char *const *words, size_t count);

/* The word of an id; NULL where there is none. */
const char *vocabulary_word(const struct vocabulary *vocabulary, int64_t id);

/* Finds the words of the ids that the statistics name, and of the padding. Returns how many. */
size_t vocabulary_name(const struct vocabulary *vocabulary, const struct ids_stats *stats,
                       const int64_t *padding_id, struct ids_word words[IDS_WORDS_MAX]);

#endif
