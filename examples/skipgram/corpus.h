/* corpus.h: a text, one review a line, as numbered words, and the two chances by which words of it
 * are drawn. */
#ifndef SKIPGRAM_CORPUS_H
#define SKIPGRAM_CORPUS_H

#include "support.h"

enum { WORD_MAX = 31, MIN_COUNT = 5, UNIGRAM_SIZE = 1 << 20 };

struct word {
    char text[WORD_MAX + 1];
    uint64_t count;
    int32_t id; /* in the order of first sight; used while the text is read */
};

struct corpus {
    struct word *words; /* those seen at least MIN_COUNT times, busiest first: the vocabulary */
    size_t word_count;
    int32_t *tokens; /* all reviews, one after the other, as indices of `words` */
    size_t *starts;  /* review r is tokens[starts[r]] ... tokens[starts[r + 1] - 1] */
    size_t review_count;
    float *keep;      /* a word's chance to survive the thinning of frequent words; above 1: sure */
    int32_t *unigram; /* a word's share of this table is that of its count to the power 0.75 */
};

/* Reads the text at path; ends the program where it cannot. */
void corpus_read(struct corpus *corpus, const char *path);
void corpus_free(struct corpus *corpus);

/* The index of a word, or -1. */
int32_t corpus_find(const struct corpus *corpus, const char *text);

#endif
