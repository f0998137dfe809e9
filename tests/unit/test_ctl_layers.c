#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <locale.h>

#include "daemon/ctl_layers.h"
#include "tests/unit/watched.h"

static const char five[] =
    "{\"layers\":[{\"layer\":\"a\",\"state\":\"ok\",\"gradient_norm\":1,\"norms\":[1]},"
    "{\"layer\":\"b\",\"state\":\"ok\",\"gradient_norm\":2},"
    "{\"layer\":\"c\",\"state\":\"pending\",\"detector\":\"gradient_spike\",\"gradient_norm\":3},"
    "{\"layer\":\"d\",\"state\":\"ok\",\"gradient_norm\":\"nan\"},"
    "{\"layer\":\"e\",\"state\":\"firing\",\"detector\":\"gradient_nonfinite\","
    "\"gradient_norm\":5}]}";

static void must_draw(const char *json, size_t columns, size_t most, const char *expected)
{
    struct watched watched = watched_from(json);
    struct screen_look look = {.columns = columns, .lines = 100, .utf8 = true};
    char *text = NULL;
    size_t length;
    struct canvas canvas = {.out = open_memstream(&text, &length), .look = look};
    struct layers_table table;

    assert_true(layers_fill(&table, &watched, &look, most));
    assert_in_range(layers_lines(&table), 0, most);
    layers_draw(&canvas, &table);
    assert_int_equal(canvas.lines, layers_lines(&table));
    assert_int_equal(fclose(canvas.out), 0);
    must_fit(text, &look);
    assert_string_equal(text, expected);
    layers_free(&table);
    free(text);
    watched_free(&watched);
}

static int start(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

static void all_are_drawn_when_there_is_room(void **state)
{
    (void)state;
    must_draw(five, 41, 5,
              "a                   1 ok\n"
              "b                   2 ok\n"
              "c                   3 pending gradient_s\xe2\x80\xa6\n"
              "d                 nan ok\n"
              "e                   5 firing gradient_no\xe2\x80\xa6");
}

static void those_in_trouble_come_first_when_there_is_not(void **state)
{
    (void)state;
    must_draw(five, 41, 4,
              "a                   1 ok\n"
              "c                   3 pending gradient_s\xe2\x80\xa6\n"
              "e                   5 firing gradient_no\xe2\x80\xa6\n"
              "and 2 more layers, all ok");
    must_draw(five, 41, 2,
              "e                   5 firing gradient_no\xe2\x80\xa6\n"
              "and 4 more layers, 1 of them pending or \xe2\x80\xa6");
    must_draw(five, 41, 1, "and 5 more layers, 2 of them pending or \xe2\x80\xa6");
}

static void the_lines_of_branches_count(void **state)
{
    (void)state;
    const char json[] = "{\"layers\":[{\"layer\":\"m/a\"},{\"layer\":\"m/b\"},{\"layer\":\"n/a\"},"
                        "{\"layer\":\"n/b\"}]}";
    must_draw(json, 10, 6,
              "m\n\xe2\x94\x9c a       \n\xe2\x94\x94 b       \nn\n\xe2\x94\x9c a       \n"
              "\xe2\x94\x94 b       ");
    must_draw(json, 10, 5,
              "m\n\xe2\x94\x9c a       \n\xe2\x94\x94 b       \nn/a       \nand 1 mor"
              "\xe2\x80\xa6");
}

static void what_is_narrow_loses_the_drawing_then_the_detector_then_the_numbers(void **state)
{
    (void)state;
    const char json[] = "{\"layers\":[{\"layer\":\"embedding\",\"state\":\"firing\",\"detector\":"
                        "\"gradient_spike\",\"gradient_norm\":0.25,\"norms\":[0.25]}]}";
    must_draw(json, 54, 9, "embedding             \xe2\x96\x85     0.25 firing gradient_spike");
    must_draw(json, 53, 9, "embedding        0.25 firing gradient_spike");
    must_draw(json, 36, 9, "embedding        0.25 firing gradie\xe2\x80\xa6");
    must_draw(json, 29, 9, "embedding                    ");
}

static void a_wide_name_keeps_the_columns_in_line(void **state)
{
    (void)state;
    must_draw("{\"layers\":[{\"layer\":\"\xe5\xb1\x82\xe5\xb1\x82\xe5\xb1\x82\xe5\xb1\x82\xe5\xb1"
              "\x82\xe5\xb1\x82\xe5\xb1\x82\xe5\xb1\x82\"},{\"layer\":\"a\"}]}",
              30, 9,
              "\xe5\xb1\x82\xe5\xb1\x82\xe5\xb1\x82\xe5\xb1\x82\xe5\xb1\x82\xe5\xb1\x82\xe2\x80\xa6"
              "        - "
              "ok\n"
              "a                    - ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_drawn_when_there_is_room),
        cmocka_unit_test(those_in_trouble_come_first_when_there_is_not),
        cmocka_unit_test(the_lines_of_branches_count),
        cmocka_unit_test(what_is_narrow_loses_the_drawing_then_the_detector_then_the_numbers),
        cmocka_unit_test(a_wide_name_keeps_the_columns_in_line),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
