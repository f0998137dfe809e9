#include "corpus.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_SLOTS = 1 << 17 };

static char *read_text(const char *path)
{
    FILE *file = open_file(path, "rb");
    if (fseek(file, 0, SEEK_END) != 0 || ftell(file) < 0)
        die("%s: %m", path);
    size_t size = (size_t)ftell(file);
    char *text = allocate(size + 2, 1);
    rewind(file);
    if (fread(text, 1, size, file) != size)
        die("%s: cannot be read whole", path);
    if (size > 0 && text[size - 1] != '\n')
        text[size] = '\n';
    fclose(file);
    return text;
}

/* Copies the next word, lower case, apostrophes left out. Returns where to go on; the word is empty
 * at the end of a line, and NULL comes back at the end of the text. */
static const char *next_word(const char *text, char word[WORD_MAX + 1])
{
    size_t length = 0;
    while (*text && *text != '\n' && !isalpha((unsigned char)*text))
        text++;
    for (; isalpha((unsigned char)*text) || (length && *text == '\''); text++)
        if (*text != '\'' && length < WORD_MAX)
            word[length++] = (char)tolower((unsigned char)*text);
    word[length] = '\0';
    return length ? text : *text ? text + 1 : NULL;
}

/* The slot of a word in an open-addressing table of WORD_SLOTS. */
static struct word *find_word(struct word *table, const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    while (table[hash & (WORD_SLOTS - 1)].count &&
           strcmp(table[hash & (WORD_SLOTS - 1)].text, text) != 0)
        hash++;
    return &table[hash & (WORD_SLOTS - 1)];
}

static int busier(const void *left, const void *right)
{
    const struct word *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->id < b->id ? -1 : 1;
}

/* Sorts the words, forgets the rare ones and gives the tokens their final ids. */
static void corpus_number(struct corpus *corpus, struct word *table, size_t distinct)
{
    int32_t *final = allocate(distinct, sizeof *final);
    qsort(table, WORD_SLOTS, sizeof *table, busier); /* empty slots have no count: they go last */
    for (size_t w = 0; w < distinct; w++) {
        if (table[w].count >= MIN_COUNT)
            corpus->word_count = w + 1;
        final[table[w].id] = table[w].count >= MIN_COUNT ? (int32_t)w : -1;
    }
    corpus->words = table;
    size_t kept = 0, token = 0;
    for (size_t r = 0; r < corpus->review_count; r++) {
        size_t end = corpus->starts[r + 1];
        corpus->starts[r] = kept;
        for (; token < end; token++)
            if (final[corpus->tokens[token]] >= 0)
                corpus->tokens[kept++] = final[corpus->tokens[token]];
    }
    corpus->starts[corpus->review_count] = kept;
    free(final);
}

static void corpus_weigh(struct corpus *corpus)
{
    size_t n = corpus->word_count;
    double power_sum = 0, power = 0, all = (double)corpus->starts[corpus->review_count];
    corpus->keep = allocate(n, sizeof *corpus->keep);
    corpus->unigram = allocate(UNIGRAM_SIZE, sizeof *corpus->unigram);
    for (size_t w = 0; w < n; w++) {
        corpus->keep[w] = (float)sqrt(3e-4 * all / (double)corpus->words[w].count);
        power_sum += pow((double)corpus->words[w].count, 0.75);
    }
    for (size_t w = 0, slot = 0; w < n; w++) {
        power += pow((double)corpus->words[w].count, 0.75);
        while (slot < UNIGRAM_SIZE && (double)slot < power / power_sum * UNIGRAM_SIZE)
            corpus->unigram[slot++] = (int32_t)w;
    }
}

void corpus_read(struct corpus *corpus, const char *path)
{
    char *text = read_text(path), word[WORD_MAX + 1];
    size_t distinct = 0, tokens = 0;
    struct word *table = allocate(WORD_SLOTS, sizeof *table);
    corpus->tokens = allocate(strlen(text) / 2 + 1, sizeof *corpus->tokens);
    corpus->starts = allocate(strlen(text) + 2, sizeof *corpus->starts);
    for (const char *at = text; (at = next_word(at, word)) != NULL;) {
        if (!word[0]) {
            corpus->starts[++corpus->review_count] = tokens;
            continue;
        }
        struct word *found = find_word(table, word);
        if (!found->count++) {
            if (distinct == WORD_SLOTS / 2)
                die("%s: more than %d different words", path, WORD_SLOTS / 2);
            memcpy(found->text, word, sizeof word);
            found->id = (int32_t)distinct++;
        }
        corpus->tokens[tokens++] = found->id;
    }
    corpus_number(corpus, table, distinct);
    if (corpus->starts[corpus->review_count] < 1000)
        die("%s: not enough text to learn from", path);
    corpus_weigh(corpus);
    free(text);
}

void corpus_free(struct corpus *corpus)
{
    free(corpus->words);
    free(corpus->tokens);
    free(corpus->starts);
    free(corpus->keep);
    free(corpus->unigram);
}

int32_t corpus_find(const struct corpus *corpus, const char *text)
{
    for (size_t w = 0; w < corpus->word_count; w++)
        if (strcmp(corpus->words[w].text, text) == 0)
            return (int32_t)w;
    return -1;
}
