#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "daemon/ctl_table.h"

static void must_print(const char *query, const char *json, const char *expected)
{
    json_t *objects = json_loads(json, 0, NULL);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(objects);
    ctl_table_print(out, query, objects);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    json_decref(objects);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    must_print("runs",
               "[{\"name\":\"a\",\"live\":true,\"step\":12,\"ranks\":1,\"every\":8,\"layers\":2,"
               "\"firing\":0},"
               "{\"name\":\"d\xc3\xa9j\xc3\xa0-vu\",\"live\":false,\"step\":null,\"ranks\":2,"
               "\"layers\":3,\"firing\":11}]",
               "RUN      LIVE  STEP  RANKS  EVERY  LAYERS  FIRING\n"
               "a        yes   12    1      8      2       0\n"
               "d\xc3\xa9j\xc3\xa0-vu  no    -     2      -      3       11\n");
}

static void what_would_act_on_the_terminal_is_shown_as_a_question(void **state)
{
    (void)state;
    must_print(
        "runs",
        "[{\"name\":\"a\\u001b]0;b\\u0007\\u202ec\\nd\",\"live\":true,\"step\":1,\"ranks\":1,"
        "\"layers\":2,\"firing\":0}]",
        "RUN          LIVE  STEP  RANKS  EVERY  LAYERS  FIRING\n"
        "a?]0;b??c?d  yes   1     1      -      2       0\n");
    must_print("status", "[{\"a\\u001b[2J\":\"b\\u009b\"}]", "a?[2J           b?\n");
}

static void layers_show_non_finite_norms_and_how_many_are_silent(void **state)
{
    (void)state;
    must_print("layers",
               "[{\"layer\":\"e\",\"kind\":\"embedding\",\"trainable\":true,"
               "\"gradient_norm\":\"inf\",\"state\":\"firing\",\"silent\":{}},"
               "{\"layer\":\"d\",\"kind\":\"dense\",\"trainable\":false,"
               "\"gradient_norm\":0.0123456,\"state\":\"ok\",\"silent\":{\"x\":\"why\",\"y\":"
               "\"z\"}}]",
               "LAYER  KIND       TRAINABLE  GRADIENT NORM  STATE   SILENT\n"
               "e      embedding  yes        inf            firing  0\n"
               "d      dense      no         0.01235        ok      2\n");
}

static void alerts_end_with_advice_on_what_fires(void **state)
{
    (void)state;
    must_print("alerts",
               "[{\"run\":\"r\",\"state\":\"firing\",\"severity\":\"critical\",\"detector\":\"d\","
               "\"layer\":\"l\",\"variable\":\"kernel\",\"phase\":\"training\",\"fired\":true,"
               "\"first_step\":3,\"step\":4,"
               "\"summary\":\"It broke.\",\"hint\":\"Mend it.\"},"
               "{\"run\":\"r\",\"state\":\"resolved\",\"severity\":\"info\",\"detector\":\"e\","
               "\"layer\":\"\",\"variable\":\"\",\"phase\":\"validation\",\"fired\":false,\"first_"
               "step\":1,\"step\":2,"
               "\"summary\":\"Over.\",\"hint\":\"No.\"}]",
               "RUN  STATE     SEVERITY  DETECTOR  WHERE     PHASE       FIRED  FIRST  STEP\n"
               "r    firing    critical  d         l/kernel  training    yes    3      4\n"
               "r    resolved  info      e         (model)   validation  no     1      2\n"
               "\nIt broke.\n    Mend it.\n");
}

static void one_that_speaks_of_several_says_of_how_many(void **state)
{
    (void)state;
    must_print(
        "alerts",
        "[{\"run\":\"r\",\"state\":\"firing\",\"severity\":\"critical\",\"detector\":\"d\","
        "\"layer\":\"\",\"variable\":\"\",\"phase\":\"training\",\"count\":950,\"fired\":true,"
        "\"first_step\":3,\"step\":4,\"summary\":\"950 more.\",\"hint\":\"\"}]",
        "RUN  STATE   SEVERITY  DETECTOR  WHERE       PHASE     FIRED  FIRST  STEP\n"
        "r    firing  critical  d         (950 more)  training  yes    3      4\n"
        "\n950 more.\n");
}

static void what_fired_until_the_run_was_closed_is_still_explained(void **state)
{
    (void)state;
    must_print("alerts",
               "[{\"run\":\"r\",\"state\":\"resolved\",\"severity\":\"info\",\"detector\":\"d\","
               "\"layer\":\"l\",\"phase\":\"training\",\"fired\":true,\"first_step\":3,\"step\":4,"
               "\"reason\":\"closed\",\"summary\":\"It broke.\",\"hint\":\"Mend it.\"},"
               "{\"run\":\"r\",\"state\":\"resolved\",\"severity\":\"info\",\"detector\":\"e\","
               "\"layer\":\"l\",\"phase\":\"training\",\"fired\":true,\"first_step\":3,\"step\":4,"
               "\"reason\":\"cleared\",\"summary\":\"Over.\",\"hint\":\"No.\"},"
               "{\"run\":\"r\",\"state\":\"resolved\",\"severity\":\"info\",\"detector\":\"f\","
               "\"layer\":\"l\",\"phase\":\"training\",\"fired\":false,\"first_step\":3,\"step\":4,"
               "\"reason\":\"closed\",\"summary\":\"Perhaps.\",\"hint\":\"No.\"}]",
               "RUN  STATE     SEVERITY  DETECTOR  WHERE  PHASE     FIRED  FIRST  STEP\n"
               "r    resolved  info      d         l      training  yes    3      4\n"
               "r    resolved  info      e         l      training  yes    3      4\n"
               "r    resolved  info      f         l      training  no     3      4\n"
               "\nIt broke.\n    Mend it.\n");
}

static void status_is_a_list_of_fields(void **state)
{
    (void)state;
    must_print("status", "[{\"version\":\"1\",\"uptime\":2.5}]",
               "version         1\nuptime          2.5\n");
}

static void each_sink_is_a_line_of_the_status(void **state)
{
    (void)state;
    must_print(
        "status",
        "[{\"version\":\"1\",\"sinks\":[{\"name\":\"am\",\"kind\":\"webhook\",\"delivered\":4,"
        "\"failed\":1,\"waiting\":2,\"dropped\":0,\"held\":9,\"last_error\":\"it answered 500\"},"
        "{\"name\":\"pager\",\"kind\":\"exec\",\"delivered\":0,\"failed\":0,\"waiting\":0,"
        "\"dropped\":0,\"held\":0,\"last_error\":\"\"}]}]",
        "version         1\n"
        "sink            am (webhook): delivered 4, failed 1, waiting 2, dropped 0, held 9; last "
        "error: it answered 500\n"
        "sink            pager (exec): delivered 0, failed 0, waiting 0, dropped 0, held 0\n");
    must_print("status", "[{\"version\":\"1\",\"sinks\":[]}]", "version         1\n");
}

static void each_limit_is_a_line_of_the_status(void **state)
{
    (void)state;
    must_print("status",
               "[{\"limits\":{\"connections\":{\"used\":3,\"limit\":1024,\"refused\":0},"
               "\"frame_seconds\":{\"used\":null,\"limit\":30,\"refused\":2}},\"address\":\"a\"}]",
               "limit           connections: 3 of 1024\n"
               "limit           frame_seconds: 30, refused 2\n"
               "address         a\n");
}

static void nothing_is_said_in_words(void **state)
{
    (void)state;
    must_print("runs", "[]", "no runs\n");
    must_print("alerts", "[]", "no alerts\n");
}

static void objects_of_another_version_are_shown_as_far_as_they_go(void **state)
{
    (void)state;
    must_print("runs", "[{\"name\":[1],\"new\":2}, 7]",
               "RUN  LIVE  STEP  RANKS  EVERY  LAYERS  FIRING\n"
               "-    -     -     -      -      -       -\n"
               "-    -     -     -      -      -       -\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_would_act_on_the_terminal_is_shown_as_a_question),
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(layers_show_non_finite_norms_and_how_many_are_silent),
        cmocka_unit_test(alerts_end_with_advice_on_what_fires),
        cmocka_unit_test(one_that_speaks_of_several_says_of_how_many),
        cmocka_unit_test(what_fired_until_the_run_was_closed_is_still_explained),
        cmocka_unit_test(status_is_a_list_of_fields),
        cmocka_unit_test(each_sink_is_a_line_of_the_status),
        cmocka_unit_test(each_limit_is_a_line_of_the_status),
        cmocka_unit_test(nothing_is_said_in_words),
        cmocka_unit_test(objects_of_another_version_are_shown_as_far_as_they_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
