/* options.h: the trainer's command line. */
#ifndef SKIPGRAM_OPTIONS_H
#define SKIPGRAM_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum { DIM_MAX = 512 };

enum fault { NONE, VANISHING, EXPLODING, NOT_A_NUMBER };

struct options {
    const char *data, *run, *record, *dump, *save; /* NULL where not given */
    int64_t steps;
    double rate;
    size_t batch, dim;
    uint64_t seed;
    uint32_t rank, world_size;
    int resume;
    enum fault fault;
};

/* Sets *options from the defaults and the command line; ends the program with status 64 where that
 * is wrong. */
void options_read(struct options *options, int argc, char **argv);

#endif
