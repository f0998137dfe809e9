/* Posts what a step of a training with one table posts of it, TIMES times, for who counts its
 * instructions:
 *
 *     step_cost ROWS TIMES
 *
 * A batch of 64 sequences of 100 ids, equally many of them different whatever ROWS is: what goes
 * into the table, as fed and as it reaches it, the gradient as sparse rows, and the rows' update.
 * Nobody is connected. */
#include <stdio.h>
#include <stdlib.h>

#include "embmon/embmon.h"

enum { COUNT = 6400, LENGTH = 100, COLUMNS = 64, DIFFERENT = 5000 };

static int32_t ids[COUNT];
static float values[COUNT * COLUMNS];

static void fill(uint64_t rows)
{
    uint32_t random = 1;

    for (size_t i = 0; i < COUNT; i++)
        ids[i] = (int32_t)(i * 7919 % DIFFERENT * rows / DIFFERENT);
    for (size_t i = 0; i < COUNT * COLUMNS; i++) {
        random = random * 1664525 + 1013904223;
        values[i] = (float)(random >> 8) / (float)(1 << 24) - 0.5f;
    }
}

static void be_quiet(void *context, const char *line)
{
    (void)context;
    (void)line;
}

static int step(struct embmon_client *client, int table, int64_t n)
{
    int done = embmon_post_fed(client, table, "tokens", n, ids, COUNT, EMBMON_I32, LENGTH);

    done += embmon_post_ids(client, table, n, ids, COUNT, EMBMON_I32, LENGTH, NULL);
    done += embmon_post_rows(client, table, EMBMON_GRADIENT, n, ids, EMBMON_I32, values, COUNT,
                             COLUMNS, EMBMON_F32);
    done += embmon_post_rows(client, table, EMBMON_UPDATE, n, ids, EMBMON_I32, values, COUNT,
                             COLUMNS, EMBMON_F32);
    return embmon_step(client, n) == 1 && done == 4;
}

int main(int argc, char **argv)
{
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    struct embmon_client *client;
    int table, times;

    if (argc != 3)
        return 64;
    times = atoi(argv[2]);
    options.address = "unix:/nobody/is/here";
    options.run = "cost";
    options.log = be_quiet;
    info.path = "table";
    info.kind = EMBMON_EMBEDDING;
    info.rows = (uint64_t)atoll(argv[1]);
    info.columns = COLUMNS;
    if (embmon_open(&options, &client) < 0 || (table = embmon_layer(client, &info)) < 0)
        return 1;
    fill(info.rows);
    for (int64_t n = 0; n < times; n++)
        if (!step(client, table, n))
            return 1;
    embmon_close(client, 0);
    return 0;
}
