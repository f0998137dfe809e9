#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <locale.h>

#include "tests/unit/watched.h"

static const char reviews[] =
    "{\"run\":\"reviews\",\"live\":true,\"time\":1000,\"step\":1204,\"ranks\":2,\"loss\":0.43125,"
    "\"age\":3.2,\"firing\":1,\"layers\":["
    "{\"layer\":\"inner/user\",\"gradient_norm\":0.5,\"state\":\"ok\",\"detector\":\"\","
    "\"norms\":[0.5,0.5,0.5]},"
    "{\"layer\":\"inner/item\",\"gradient_norm\":1e-9,\"state\":\"firing\","
    "\"detector\":\"gradient_vanishing\",\"norms\":[1,0.001,1e-6,1e-9]},"
    "{\"layer\":\"out\",\"gradient_norm\":null,\"state\":\"ok\",\"detector\":\"\",\"norms\":[]}],"
    "\"alerts\":[{\"time\":940,\"phase\":\"training\",\"layer\":\"inner/item\",\"variable\":\"\","
    "\"detector\":\"gradient_vanishing\",\"severity\":\"warning\",\"state\":\"firing\","
    "\"step\":1200,\"first_step\":1190,\"summary\":\"The gradient of inner/item is much smaller "
    "than that of the last layer, and has been so for a while.\",\"hint\":\"Saturated units "
    "between this table and the loss.\"}]}";

static char *draw(const struct watched *watched, struct screen_look look)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    assert_true(screen_draw(out, watched, &look));
    assert_int_equal(fclose(out), 0);
    must_fit(text, &look);
    return text;
}

static void must_draw(const char *json, struct screen_look look, const char *expected)
{
    struct watched watched = watched_from(json);
    char *text = draw(&watched, look);

    assert_string_equal(text, expected);
    free(text);
    watched_free(&watched);
}

static int start(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

static void a_screen_of_eighty_columns(void **state)
{
    (void)state;
    must_draw(reviews, (struct screen_look){.columns = 80, .lines = 24, .utf8 = true},
              "reviews  live  step 1204  ranks 2  loss 0.4313  firing 1  last step 3 s ago\n"
              "\n"
              "LAYER        GRADIENT NORM                         NOW STATE\n"
              "inner\n"
              "\xe2\x94\x9c user                                    \xe2\x96\x85\xe2\x96\x85"
              "\xe2\x96\x85      0.5 ok\n"
              "\xe2\x94\x94 item                                   \xe2\x96\x88\xe2\x96\x86"
              "\xe2\x96\x83\xe2\x96\x81    1e-09 firing gradient_vanishing\n"
              "out                                                  - ok\n"
              "\n"
              "firing warning gradient_vanishing inner/item, step 1200, 60 s ago\n"
              "  The gradient of inner/item is much smaller than that of the last layer, and\n"
              "  has been so for a while.\n"
              "  Saturated units between this table and the loss.");
}

/* NULL: at most so many columns and lines is all that is asked. */
static void must_wait(struct screen_look look, const char *expected)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    screen_draw_waiting(out, "unix:/run/s", &look);
    assert_int_equal(fclose(out), 0);
    must_fit(text, &look);
    if (expected)
        assert_string_equal(text, expected);
    free(text);
}

static void a_screen_before_the_first_run(void **state)
{
    (void)state;
    must_wait((struct screen_look){.columns = 40, .lines = 9, .utf8 = true},
              "waiting for the first run        q quits\n"
              "\n"
              "embmond answers at unix:/run/s");
    must_wait((struct screen_look){.columns = 40, .lines = 2, .utf8 = true},
              "waiting for the first run        q quits");
    for (size_t columns = 0; columns < 50; columns++)
        for (size_t lines = 0; lines < 5; lines++)
            must_wait((struct screen_look){.columns = columns, .lines = lines}, NULL);
}

static void a_screen_without_utf8(void **state)
{
    (void)state;
    must_draw(reviews, (struct screen_look){.columns = 60, .lines = 9},
              "reviews  live  step 1204  ranks 2  loss 0.4313  firing 1  l~\n"
              "LAYER        NORM              NOW STATE\n"
              "inner\n"
              "|-user                +++      0.5 ok\n"
              "`-item               @*-.    1e-09 firing gradient_vanishing\n"
              "out                              - ok\n"
              "\n"
              "firing warning gradient_vanishing inner/item, step 1200, 60~\n"
              "  The gradient of inner/item is much smaller than that of");
}

static void colours_are_those_of_states(void **state)
{
    struct watched watched = watched_from(reviews);
    char *text = draw(&watched, (struct screen_look){80, 24, true, true});

    (void)state;
    assert_non_null(strstr(text, "\x1b[1mreviews\x1b[0m"));
    assert_non_null(strstr(text, "\x1b[1;31mfiring gradient_vanishing\x1b[0m\n"));
    assert_non_null(strstr(text, " ok\n"));
    char *plain = without_colours(text), *other;
    other = draw(&watched, (struct screen_look){80, 24, true, false});
    assert_string_equal(plain, other);
    free(plain);
    free(other);
    free(text);
    watched_free(&watched);
}

static void a_run_without_a_step_says_so(void **state)
{
    (void)state;
    must_draw("{\"run\":\"new\",\"live\":true,\"time\":1,\"step\":null,\"ranks\":1,\"loss\":null,"
              "\"age\":null,\"firing\":0,\"layers\":[],\"alerts\":[]}",
              (struct screen_look){.columns = 80, .lines = 24},
              "new  live  ranks 1  no step yet                                          q quits\n"
              "\n"
              "LAYER        GRADIENT NORM                                           NOW STATE");
}

static void a_run_nobody_is_connected_to_says_so(void **state)
{
    (void)state;
    must_draw(
        "{\"run\":\"old\",\"live\":false,\"step\":7,\"ranks\":1,\"loss\":\"nan\",\"age\":7300,"
        "\"firing\":0,\"layers\":[{\"layer\":\"a\"}],\"alerts\":[]}",
        (struct screen_look){.columns = 60, .lines = 3},
        "old  no trainer  step 7  ranks 1  loss nan  last step 2 h a~\n"
        "LAYER        GRADIENT NORM                       NOW STATE\n"
        "a                                                  - ok");
}

static void ages_are_in_words(void **state)
{
    static const struct {
        double age;
        const char *words;
    } rows[] = {{-1, "0 s"},       {0.9, "0 s"},  {119, "119 s"},  {120, "2 min"},
                {7199, "119 min"}, {7200, "2 h"}, {172800, "2 d"}, {1e300, " d"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct watched watched = {.run = "", .age = {true, rows[i].age}};
        char *text = draw(&watched, (struct screen_look){.columns = 100, .lines = 1});
        char expected[64];
        snprintf(expected, sizeof expected, i < 7 ? "last step %s ago" : "%.0s", rows[i].words);
        assert_non_null(strstr(text, expected));
        free(text);
    }
}

static void what_is_over_is_shown_while_nothing_is_wrong(void **state)
{
    (void)state;
    must_draw(
        "{\"run\":\"r\",\"live\":true,\"time\":130,\"step\":7,\"ranks\":1,\"age\":1,"
        "\"layers\":[],\"alerts\":[{\"time\":10,\"layer\":\"\",\"detector\":\"loss_diverged\","
        "\"severity\":\"critical\",\"state\":\"resolved\",\"step\":5,\"phase\":\"validation\","
        "\"summary\":\"It is over.\",\"hint\":\"Not told any more.\"}]}",
        (struct screen_look){.columns = 60, .lines = 24},
        "r  live  step 7  ranks 1  last step 1 s ago          q quits\n"
        "\n"
        "LAYER        GRADIENT NORM                       NOW STATE\n"
        "\n"
        "resolved critical loss_diverged validation (mod~, step 5, 2~\n"
        "  It is over.");
}

/* A model of many layers, of which one late one fires, and many alerts. */
static struct watched crowd(void)
{
    json_t *layers = json_array(), *alerts = json_array(), *object;
    struct watched watched;

    for (int i = 0; i < 300; i++) {
        json_array_append_new(
            layers, json_pack("{ss++ ss ss sf s[fff]}", "layer", "block_", i % 10 ? "a/" : "b/",
                              i == 271 ? "sick"
                              : i % 2  ? "\xe5\xb1\x82\xe5\xb1\x82"
                                       : "w",
                              "state", i == 271 ? "firing" : "ok", "detector", i == 271 ? "d" : "",
                              "gradient_norm", 0.5, "norms", 1.0, 2.0, 3.0));
        json_array_append_new(alerts,
                              json_pack("{ss ss ss ss ss}", "state", "firing", "detector", "d",
                                        "layer", "a/very/long/path/to/a/layer/of/this/model",
                                        "severity", "critical", "summary", "What has happened."));
    }
    for (size_t i = 0; i < 300; i++) {
        char path[64];
        json_t *layer = json_array_get(layers, i);
        snprintf(path, sizeof path, "%s%zu", json_string_value(json_object_get(layer, "layer")), i);
        json_object_set_new(layer, "layer", json_string(path));
    }
    object = json_pack("{ss so so}", "run", "crowd", "layers", layers, "alerts", alerts);
    assert_non_null(object);
    assert_true(watched_read(&watched, object));
    return watched;
}

static void what_fires_is_shown_of_a_model_that_does_not_fit(void **state)
{
    struct watched watched = crowd();
    char *text = draw(&watched, (struct screen_look){.columns = 80, .lines = 24, .utf8 = true});

    (void)state;
    assert_non_null(strstr(text, "sick271 "));
    assert_non_null(strstr(text, " more layers, all ok\n"));
    free(text);
    watched_free(&watched);
}

static void no_size_breaks_it(void **state)
{
    struct watched watched = crowd(), small = watched_from(reviews);

    (void)state;
    for (size_t columns = 0; columns < 130; columns += 1 + columns / 20) {
        for (size_t lines = 0; lines < 60; lines += 1 + lines / 10) {
            free(draw(&watched, (struct screen_look){columns, lines, true, true}));
            free(draw(&small, (struct screen_look){columns, lines, columns % 2, false}));
        }
    }
    free(draw(&watched, (struct screen_look){65535, 65535, true, true}));
    watched_free(&watched);
    watched_free(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_screen_of_eighty_columns),
        cmocka_unit_test(a_screen_before_the_first_run),
        cmocka_unit_test(a_screen_without_utf8),
        cmocka_unit_test(colours_are_those_of_states),
        cmocka_unit_test(a_run_without_a_step_says_so),
        cmocka_unit_test(a_run_nobody_is_connected_to_says_so),
        cmocka_unit_test(ages_are_in_words),
        cmocka_unit_test(what_is_over_is_shown_while_nothing_is_wrong),
        cmocka_unit_test(what_fires_is_shown_of_a_model_that_does_not_fit),
        cmocka_unit_test(no_size_breaks_it),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
