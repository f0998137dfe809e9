#include "client/vocabulary.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/name.h"

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD, for a byte that is no text */
static const char CUT[] = "...";                  /* at the end of a word that is longer */

enum { ALIGN = 64, CUT_BYTES = sizeof CUT - 1, BEFORE_CUT = IDS_WORD_BYTES - CUT_BYTES };

struct vocabulary {
    size_t count;
    char *text;        /* behind the starts; a NUL first, which is the word of who has none */
    uint32_t starts[]; /* of each word in it */
};

/* Writes what is shown of a word, and a NUL; returns its bytes without that. Reads no more of it
 * than it needs. */
static size_t clean(char to[IDS_WORD_BYTES + 1], const char *word)
{
    size_t used = 0, uncut = 0;

    while (*word) {
        size_t length = name_character(word), n = length ? length : sizeof REPLACEMENT - 1;

        if (used + n > IDS_WORD_BYTES) {
            memcpy(to + uncut, CUT, CUT_BYTES);
            used = uncut + CUT_BYTES;
            break;
        }
        memcpy(to + used, length ? word : REPLACEMENT, n);
        used += n;
        word += length ? length : 1;
        if (used <= BEFORE_CUT)
            uncut = used;
    }
    to[used] = '\0';
    return used;
}

bool vocabularies_open(struct vocabularies *all)
{
    void *memory = mmap(NULL, VOCABULARIES_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    all->memory = memory == MAP_FAILED ? NULL : memory;
    atomic_init(&all->used, 0);
    return all->memory != NULL;
}

void vocabularies_close(struct vocabularies *all)
{
    if (all->memory)
        munmap(all->memory, VOCABULARIES_BYTES);
    all->memory = NULL;
}

/* Bytes of a vocabulary of these words. */
static uint64_t size_of(const char *const *words, size_t count)
{
    uint64_t size = sizeof(struct vocabulary) + count * sizeof(uint32_t) + 1;
    char word[IDS_WORD_BYTES + 1];

    for (size_t i = 0; i < count; i++)
        size += words[i] && *words[i] ? clean(word, words[i]) + 1 : 0;
    return (size + ALIGN - 1) / ALIGN * ALIGN;
}

static void fill(struct vocabulary *vocabulary, const char *const *words, size_t count)
{
    uint32_t used = 1;

    vocabulary->count = count;
    vocabulary->text = (char *)(vocabulary->starts + count);
    vocabulary->text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char word[IDS_WORD_BYTES + 1];
        size_t n = words[i] ? clean(word, words[i]) : 0;

        vocabulary->starts[i] = n > 0 ? used : 0;
        if (n == 0)
            continue;
        memcpy(vocabulary->text + used, word, n + 1);
        used += (uint32_t)n + 1;
    }
}

struct vocabulary *vocabulary_add(struct vocabularies *all, const char *const *words, size_t count)
{
    uint64_t used = atomic_load(&all->used), bytes;
    struct vocabulary *made;

    if (!all->memory || count > VOCABULARY_WORDS_MAX)
        return NULL;
    bytes = size_of(words, count);
    do {
        if (bytes > VOCABULARIES_BYTES - used)
            return NULL;
    } while (!atomic_compare_exchange_weak(&all->used, &used, used + bytes));
    made = (struct vocabulary *)(void *)(all->memory + used);
    fill(made, words, count);
    return made;
}

const char *vocabulary_word(const struct vocabulary *vocabulary, int64_t id)
{
    const char *word;

    if (id < 0 || (uint64_t)id >= vocabulary->count)
        return NULL;
    word = vocabulary->text + vocabulary->starts[id];
    return *word ? word : NULL;
}

size_t vocabulary_name(const struct vocabulary *vocabulary, const struct ids_stats *stats,
                       const int64_t *padding_id, struct ids_word words[IDS_WORDS_MAX])
{
    int64_t ids[IDS_WORDS_MAX];
    size_t named = 0, known = 0;

    if (stats->beyond > 0 && stats->worst >= 0 && stats->worst < VOCABULARY_WORDS_MAX)
        ids[named++] = (int64_t)stats->worst;
    if (padding_id)
        ids[named++] = *padding_id;
    for (uint32_t i = 0; i < stats->busiest_count; i++)
        ids[named++] = stats->busiest[i].id;
    for (size_t i = 0; i < named; i++) {
        const char *word = vocabulary_word(vocabulary, ids[i]);

        if (word)
            words[known++] = (struct ids_word){ids[i], word};
    }
    return known;
}
