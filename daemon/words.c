#include "daemon/words.h"

#include <stdlib.h>
#include <string.h>

struct words {
    size_t used, next; /* places in use; the one that is written next when all are */
    int64_t ids[WORDS_KEPT];
    char text[WORDS_KEPT][IDS_WORD_BYTES + 1];
};

/* The place of an id, or `used`. */
static size_t place_of(const struct words *words, int64_t id)
{
    size_t i = 0;

    while (i < words->used && words->ids[i] != id)
        i++;
    return i;
}

static void take_one(struct words *words, const struct ids_word *one)
{
    size_t n = strnlen(one->word, IDS_WORD_BYTES), place = place_of(words, one->id);

    if (place == words->used) {
        place = words->next;
        words->next = (words->next + 1) % WORDS_KEPT;
        if (words->used < WORDS_KEPT)
            words->used++;
    }
    words->ids[place] = one->id;
    memcpy(words->text[place], one->word, n);
    words->text[place][n] = '\0';
}

void words_take(struct words **to, const struct ids_word *words, size_t count)
{
    if (count > 0 && !*to)
        *to = calloc(1, sizeof **to);
    for (size_t i = 0; *to && i < count; i++)
        take_one(*to, &words[i]);
}

void words_free(struct words *words)
{
    free(words);
}

const char *words_find(const struct words *words, int64_t id)
{
    size_t place = words ? place_of(words, id) : 0;

    return words && place < words->used ? words->text[place] : NULL;
}
