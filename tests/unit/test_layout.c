#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/tensorboard/layout.h"
#include "layout.pb-c.h"

static Tensorboard__Layout__Layout *made(const struct layout_layer *layers, size_t count)
{
    size_t length = 0;
    uint8_t *bytes = layout_make(layers, count, &length);
    Tensorboard__Layout__Layout *layout;

    assert_non_null(bytes);
    layout = tensorboard__layout__layout__unpack(NULL, length, bytes);
    free(bytes);
    assert_non_null(layout);
    return layout;
}

static void done(Tensorboard__Layout__Layout *layout)
{
    tensorboard__layout__layout__free_unpacked(layout, NULL);
}

static void a_page_without_layers_shows_the_alerts(void **state)
{
    Tensorboard__Layout__Layout *layout = made(NULL, 0);

    (void)state;
    assert_int_equal(layout->n_category, 3);
    assert_string_equal(layout->category[0]->title, "embmond: alerts");
    assert_int_equal(layout->category[0]->n_chart, 3);
    assert_string_equal(layout->category[0]->chart[0]->multiline->tag[0], "alerts/total$");
    assert_int_equal(layout->category[1]->n_chart, 0);
    done(layout);
}

static void embeddings_come_first_with_thresholds_band_and_coverage(void **state)
{
    const struct layout_layer layers[] = {{"tower/dense", false},
                                          {"inner_model/embedding_1", true}};
    Tensorboard__Layout__Layout *layout = made(layers, 2);
    Tensorboard__Layout__Category *tables = layout->category[1], *others = layout->category[2];

    (void)state;
    assert_false(tables->closed);
    assert_true(others->closed);
    assert_int_equal(tables->n_chart, 3);
    assert_int_equal(others->n_chart, 2);
    assert_int_equal(tables->chart[0]->multiline->n_tag, 3);
    assert_string_equal(tables->chart[0]->multiline->tag[1],
                        "gradient_norm_low/inner_model/embedding_1$");
    assert_string_equal(tables->chart[1]->margin->series[0]->lower,
                        "gradient_norm_min/inner_model/embedding_1");
    assert_string_equal(tables->chart[2]->multiline->tag[0],
                        "embedding/coverage/inner_model/embedding_1$");
    assert_string_equal(others->chart[1]->margin->series[0]->value, "gradient_norm/tower/dense");
    done(layout);
}

static void a_layer_called_all_has_its_own_norm(void **state)
{
    const struct layout_layer layer = {"all", false};
    Tensorboard__Layout__Layout *layout = made(&layer, 1);

    (void)state;
    assert_string_equal(layout->category[2]->chart[0]->multiline->tag[0], "gradient_norm//all$");
    assert_string_equal(layout->category[2]->chart[1]->margin->series[0]->value,
                        "gradient_norm//all");
    done(layout);
}

static void a_name_matches_nothing_but_itself(void **state)
{
    const struct layout_layer layer = {"a.b+(c)", false};
    Tensorboard__Layout__Layout *layout = made(&layer, 1);

    (void)state;
    assert_string_equal(layout->category[2]->chart[0]->multiline->tag[0],
                        "gradient_norm/a\\.b\\+\\(c\\)$");
    assert_string_equal(layout->category[2]->chart[1]->margin->series[0]->value,
                        "gradient_norm/a.b+(c)");
    done(layout);
}

static void a_model_of_thousands_of_layers_gives_a_page_that_can_be_read(void **state)
{
    enum { MANY = 4096, NAME = 256 };
    struct layout_layer *layers = calloc(MANY, sizeof *layers);
    char *names = calloc(MANY, NAME);
    Tensorboard__Layout__Layout *layout;
    size_t charts = 0;

    (void)state;
    assert_true(layers && names);
    for (size_t i = 0; i < MANY; i++) {
        char *name = names + i * NAME;

        memset(name, '.', NAME - 1);
        (void)snprintf(name, NAME, "%zu", i);
        name[strlen(name)] = '.';
        layers[i] = (struct layout_layer){name, i % 2 == 0};
    }
    layout = made(layers, MANY);
    for (size_t i = 0; i < layout->n_category; i++)
        charts += layout->category[i]->n_chart;
    assert_true(charts > LAYOUT_LAYERS_MAX);
    assert_true(charts <= 3 + 5 * LAYOUT_LAYERS_MAX);
    done(layout);
    free(layers);
    free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_called_all_has_its_own_norm),
        cmocka_unit_test(a_page_without_layers_shows_the_alerts),
        cmocka_unit_test(embeddings_come_first_with_thresholds_band_and_coverage),
        cmocka_unit_test(a_name_matches_nothing_but_itself),
        cmocka_unit_test(a_model_of_thousands_of_layers_gives_a_page_that_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
