/* What a run will take: what is reserved for its layers is as much as they take, and no other
 * run's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/limited.h"

enum { MANY = 1000, VARIABLES = 2000, WIDE = 32 };

/* Declares embeddings from id `first` on, each with `of_each` variables beside its own. */
static void declare(struct peer *peer, uint32_t first, uint32_t count, uint32_t of_each)
{
    struct msg_layer *layers = calloc(count, sizeof *layers);
    struct msg_variable *variables = calloc(count * of_each + 1, sizeof *variables);
    char(*paths)[40] = calloc(count, sizeof *paths);
    static const char *const names[] = {"kernel", "bias"};
    struct message m = {.type = FRAME_LAYERS,
                        .layers = {layers, count, variables, count * of_each}};

    assert_true(layers && variables && paths && of_each <= 2);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof paths[i], "model/block_%u/embedding", first + i);
        layers[i] = (struct msg_layer){.id = first + i,
                                       .path = paths[i],
                                       .kind = EMBMON_EMBEDDING,
                                       .rows = 100,
                                       .columns = 8,
                                       .activation = ""};
        for (uint32_t k = 0; k < of_each; k++)
            variables[i * of_each + k] = (struct msg_variable){
                .id = MANY + i * of_each + k, .layer = first + i, .name = names[k]};
    }
    peer_say(peer, &m, 0);
    free(layers);
    free(variables);
    free(paths);
}

static void post(struct peer *peer, uint32_t target, uint32_t phase, uint32_t signal, uint64_t step)
{
    struct message m = {.type = FRAME_SAMPLE,
                        .sample = {.sequence = ++peer->sequence,
                                   .target = target,
                                   .signal = signal,
                                   .phase = phase,
                                   .step = step,
                                   .summary = TENSOR(0.5, -0.5)}};

    peer_say(peer, &m, 1);
    summary_free(&m.sample.summary);
}

static void end(struct peer *peer, uint32_t phase, uint64_t step)
{
    struct message m = {.type = FRAME_STEP_END,
                        .step_end = {.sequence = ++peer->sequence, .phase = phase, .step = step}};

    peer_say(peer, &m, 1);
}

static const struct run *run_of(const struct peer *peer)
{
    return registry_find(registry, peer->heard.run);
}

static void what_is_promised_is_kept_until_it_is_taken(void **state)
{
    enum { LAYER = MODEL_LAYER_BYTES + MODEL_VARIABLE_BYTES };
    struct peer peer = joined(1, (struct hello){0}, 0);

    (void)state;
    assert_int_equal(run_promised(run_of(&peer)), 0);
    declare(&peer, 0, 5, 2);
    assert_int_equal(run_promised(run_of(&peer)), 5 * LAYER + 10 * MODEL_VARIABLE_BYTES);
    declare(&peer, 0, 5, 2); /* again */
    assert_int_equal(run_promised(run_of(&peer)), 5 * LAYER + 10 * MODEL_VARIABLE_BYTES);
    end(&peer, EMBMON_TRAIN, 0);
    assert_int_equal(run_promised(run_of(&peer)), 0);
    declare(&peer, 5, 1, 0);
    assert_int_equal(run_promised(run_of(&peer)), LAYER);
    post(&peer, 1, EMBMON_VALIDATE, EMBMON_ACTIVATION, 0);
    assert_int_equal(run_promised(run_of(&peer)), LAYER + 6 * MODEL_PHASE_BYTES);
    end(&peer, EMBMON_VALIDATE, 0);
    assert_int_equal(run_promised(run_of(&peer)), LAYER);
    end(&peer, EMBMON_TRAIN, 1);
    assert_int_equal(run_promised(run_of(&peer)), 0);
    peer_close(&peer, 2);
}

static uint32_t validate(struct peer *peer)
{
    peer->heard.nack_reason = 0;
    post(peer, 1, EMBMON_VALIDATE, EMBMON_ACTIVATION, 0);
    return peer->heard.nack_reason;
}

/* Validation of a big model is refused as a whole where there is no memory; of a small one never.
 */
static void a_phase_begins_where_there_is_memory_for_it(void **state)
{
    struct peer big = joined(1, (struct hello){.name = "big"}, 0),
                small = joined(2, (struct hello){.name = "small"}, 0);
    uint64_t most = 48 << 20, needs = 65 * (uint64_t)MODEL_PHASE_BYTES;

    (void)state;
    ceilings.memory_bytes = 64 << 20;
    hold();
    declare(&big, 0, 65, 0);
    declare(&small, 0, 64, 0);
    end(&big, EMBMON_TRAIN, 0);
    end(&small, EMBMON_TRAIN, 0);
    usage()->memory_bytes.used = most - needs + 1;
    assert_int_equal(validate(&big), NACK_LIMIT);
    end(&big, EMBMON_VALIDATE, 0);
    assert_int_equal(usage()->memory_bytes.refused, 2);
    post(&big, 1, EMBMON_TRAIN, EMBMON_GRADIENT, 1); /* training goes on */
    assert_int_equal(registry_posts(registry).rejected, 2);
    usage()->memory_bytes.used = most - needs;
    assert_int_equal(validate(&big), 0);
    usage()->memory_bytes.used = most;
    assert_int_equal(validate(&big), 0); /* it has begun */
    assert_int_equal(validate(&small), 0);
    peer_close(&big, 2);
    peer_close(&small, 2);
}

static size_t bytes_of(const struct peer *peer)
{
    struct run_status status;

    run_get_status(run_of(peer), &status);
    return status.bytes;
}

/* Beyond the ceiling the run that has collected most gives it back, and goes on. */
static void what_is_collected_is_written_early_where_memory_runs_out(void **state)
{
    struct peer large = joined(1, (struct hello){.name = "large"}, 0),
                small = joined(2, (struct hello){.name = "small"}, 0);
    size_t of_large, of_small;

    (void)state;
    declare(&large, 0, 10, 0);
    declare(&small, 0, 1, 0);
    for (uint64_t step = 0; step < 65; step++) { /* from the 65th on two steps are a window */
        for (uint32_t id = 0; id < 10; id++)
            post(&large, id, EMBMON_TRAIN, EMBMON_GRADIENT, step);
        post(&small, 0, EMBMON_TRAIN, EMBMON_GRADIENT, step);
        end(&large, EMBMON_TRAIN, step);
        end(&small, EMBMON_TRAIN, step);
    }
    of_large = bytes_of(&large);
    of_small = bytes_of(&small);
    assert_true(of_large > of_small);
    ceilings.memory_bytes = 64 << 20;
    hold();
    usage()->memory_bytes.used = 64 << 20;
    registry_relieve(registry, at(2));
    assert_int_equal(bytes_of(&large), of_large);
    usage()->memory_bytes.used = (64 << 20) + 1;
    registry_relieve(registry, at(2));
    assert_true(bytes_of(&large) <= of_large - 10 * sizeof(struct summary));
    assert_int_equal(bytes_of(&small), of_small);
    for (uint32_t id = 0; id < 10; id++)
        post(&large, id, EMBMON_TRAIN, EMBMON_GRADIENT, 65);
    end(&large, EMBMON_TRAIN, 65);
    assert_int_equal(bytes_of(&large), of_large);
    peer_close(&large, 3);
    peer_close(&small, 3);
}

#ifndef __SANITIZE_ADDRESS__ /* it counts otherwise */
static size_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* A tensor that occupies so many buckets of each sign. */
static void post_wide(struct peer *peer, uint32_t target, uint32_t signal, uint32_t buckets)
{
    uint64_t counts[WIDE];
    struct message m = {.type = FRAME_SAMPLE,
                        .sample = {.sequence = ++peer->sequence,
                                   .target = target,
                                   .signal = signal,
                                   .phase = EMBMON_TRAIN,
                                   .step = 1,
                                   .summary = {.count = 2 * buckets, .parts = 1}}};

    for (uint32_t i = 0; i < buckets; i++)
        counts[i] = 1;
    m.sample.summary.negative = m.sample.summary.positive =
        (struct summary_span){900, buckets, counts, buckets};
    m.sample.summary.square_sum = m.sample.summary.absolute_sum = 1;
    peer_say(peer, &m, 1);
}

/* From what a run takes with one layer to what it takes with many, all of it posted, in histograms
 * of so many buckets of each sign. */
static size_t layers_take(uint32_t of_each, uint32_t buckets)
{
    struct peer peer = joined(1, (struct hello){0}, 0);
    size_t before;

    declare(&peer, 0, 1, of_each);
    end(&peer, EMBMON_TRAIN, 0);
    before = allocated();
    declare(&peer, 0, MANY, of_each);
    for (uint32_t id = 0; id < MANY * (1 + of_each); id++) {
        for (uint32_t signal = 1; signal <= STEP_SIGNALS; signal++)
            post_wide(&peer, id, signal, buckets);
    }
    end(&peer, EMBMON_TRAIN, 1);
    before = allocated() - before;
    peer_close(&peer, 2);
    return before;
}

static void what_is_reserved_is_what_is_taken(void **state)
{
    size_t bare, with;

    (void)state;
    bare = layers_take(0, 1) / MANY;
    stop(state);
    start(state);
    with = layers_take(2, 1) / MANY;
    print_message("%zu bytes a layer, %zu with two variables more\n", bare, with);
    assert_in_range(bare, (MODEL_LAYER_BYTES + MODEL_VARIABLE_BYTES) * 2 / 3,
                    MODEL_LAYER_BYTES + MODEL_VARIABLE_BYTES);
    assert_in_range((with - bare) / 2, MODEL_VARIABLE_BYTES * 2 / 3, MODEL_VARIABLE_BYTES);
}

/* Each count once in the step that is open, or waits to be used again, and once in its window. */
static void buckets_take_eight_bytes_twice(void **state)
{
    const size_t more = 2 * (WIDE - 1) * STEP_SIGNALS; /* of a layer, of both signs */
    size_t narrow, wide;

    (void)state;
    narrow = layers_take(0, 1) / MANY;
    stop(state);
    start(state);
    wide = layers_take(0, WIDE) / MANY;
    print_message("%zu bytes a layer, %zu with %d buckets a histogram\n", narrow, wide, 2 * WIDE);
    assert_in_range(wide - narrow, more * 8, more * 2 * 8);
}

static void another_phase_takes_what_is_reserved_for_it(void **state)
{
    struct peer peer = joined(1, (struct hello){0}, 0);
    size_t before;

    (void)state;
    declare(&peer, 0, MANY, 0);
    end(&peer, EMBMON_TRAIN, 0);
    before = allocated();
    end(&peer, EMBMON_VALIDATE, 0);
    before = (allocated() - before) / MANY;
    print_message("%zu bytes a layer for a phase\n", before);
    assert_in_range(before, MODEL_PHASE_BYTES * 2 / 3, MODEL_PHASE_BYTES);
    peer_close(&peer, 2);
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(what_is_promised_is_kept_until_it_is_taken),
        TEST(a_phase_begins_where_there_is_memory_for_it),
        TEST(what_is_collected_is_written_early_where_memory_runs_out),
#ifndef __SANITIZE_ADDRESS__
        TEST(what_is_reserved_is_what_is_taken),
        TEST(buckets_take_eight_bytes_twice),
        TEST(another_phase_takes_what_is_reserved_for_it),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
