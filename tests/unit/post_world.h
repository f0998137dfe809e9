/* A client that posts, and the test as its daemon: layers 0 (a table of 4 rows, padding 0) and 1, a
 * variable 2 of the latter. */
#ifndef EMBMON_TESTS_UNIT_POST_WORLD_H
#define EMBMON_TESTS_UNIT_POST_WORLD_H

#include "embmon/embmon.h"
#include "tests/unit/fake_daemon.h"

struct world {
    struct fake *fake;
    struct embmon_client *client;
    int table, dense, kernel;
};

static inline void hush(void *context, const char *line)
{
    (void)context;
    (void)line;
}

static inline int open_world(void **to)
{
    struct world *w = calloc(1, sizeof *w);
    struct embmon_options options = EMBMON_OPTIONS_INIT;
    struct embmon_layer_info info = EMBMON_LAYER_INFO_INIT;
    const int64_t shape[] = {3, 2};
    struct message message;

    assert_non_null(w);
    w->fake = fake_new();
    fake_listen(w->fake);
    options.address = w->fake->address;
    options.run = "run";
    options.log = hush;
    assert_int_equal(embmon_open(&options, &w->client), 0);
    fake_greet(w->fake, 0, 1);
    info.path = "inner/embedding";
    info.kind = EMBMON_EMBEDDING;
    info.rows = 4, info.columns = 2, info.padding_id = 0;
    w->table = embmon_layer(w->client, &info);
    assert_int_equal(w->table, 0);
    info = (struct embmon_layer_info)EMBMON_LAYER_INFO_INIT;
    info.path = "dense";
    info.kind = EMBMON_DENSE;
    info.activation = "relu";
    info.inputs = &w->table, info.input_count = 1;
    w->dense = embmon_layer(w->client, &info);
    assert_int_equal(w->dense, 1);
    w->kernel = embmon_variable(w->client, w->dense, "kernel", shape, 2, EMBMON_F32);
    assert_int_equal(w->kernel, 2);
    /* What is declared in several turns of the sender may come in several messages. */
    for (size_t targets = 0; targets < 3;) {
        fake_expect(w->fake, FRAME_LAYERS, &message);
        targets += message.layers.layer_count + message.layers.variable_count;
    }
    *to = w;
    return 0;
}

static inline int close_world(void **to)
{
    struct world *w = *to;

    embmon_close(w->client, 0);
    fake_free(w->fake);
    free(w);
    return 0;
}

#endif
