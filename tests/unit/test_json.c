#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/json.h"
#include "embmon/embmon.h"

static void must_be(json_t *value, const char *expected)
{
    assert_non_null(value);
    char *line = json_line(value);
    assert_string_equal(line, expected);
    free(line);
    json_decref(value);
}

static void numbers_are_short_and_the_non_finite_are_words(void **state)
{
    (void)state;
    must_be(json_from_double(0.1), "0.1");
    must_be(json_from_double(0), "0.0");
    must_be(json_from_double(-2.5e-30), "-2.5e-30");
    must_be(json_from_double((double)0.30000001192092896f), "0.300000011920929");
    must_be(json_from_double((double)NAN), "\"nan\"");
    must_be(json_from_double((double)INFINITY), "\"inf\"");
    must_be(json_from_double(-(double)INFINITY), "\"-inf\"");
}

static void a_float_survives(void **state)
{
    (void)state;
    const float values[] = {FLT_MIN, FLT_MAX, 1.0f / 3.0f, 1e-45f, -7.7e7f};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        json_t *number = json_from_double((double)values[i]);
        char *line = json_line(number);
        assert_true(strtof(line, NULL) == values[i]);
        free(line);
        json_decref(number);
    }
}

static void text_that_is_not_utf8_is_kept_as_far_as_it_goes(void **state)
{
    (void)state;
    must_be(json_text("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
    must_be(json_text("/logs/\xff-\xfe!"), "\"/logs/?-?!\"");
    must_be(json_text("a\"\n"), "\"a\\\"\\n\"");
}

static const uint32_t ranks[] = {0, 3};

static struct alert_change sample(void)
{
    return (struct alert_change){
        .time = 1700000000.25,
        .run = "reviews",
        .phase = EMBMON_TRAIN,
        .layer = "input/embedding",
        .variable = "",
        .signal = "gradient",
        .detector = "gradient_vanishing",
        .severity = EMBMON_WARNING,
        .state = EMBMON_FIRING,
        .step = 120,
        .first_step = 112,
        .value = 1e-9,
        .threshold = 1e-6,
        .value_given = 1,
        .threshold_given = 1,
        .ranks = ranks,
        .rank_count = 2,
        .reason = "",
        .summary = "it is gone",
        .hint = "look",
    };
}

static void an_alert_has_all_its_fields_in_order(void **state)
{
    (void)state;
    struct alert_change change = sample();
    must_be(json_alert(&change),
            "{\"time\":1700000000.25,\"run\":\"reviews\",\"phase\":\"training\","
            "\"layer\":\"input/embedding\",\"variable\":\"\",\"signal\":\"gradient\","
            "\"detector\":\"gradient_vanishing\",\"severity\":\"warning\",\"state\":\"firing\","
            "\"step\":120,\"first_step\":112,\"value\":1e-9,\"threshold\":1e-6,"
            "\"baseline\":null,\"ranks\":[0,3],\"reason\":\"\",\"summary\":\"it is gone\","
            "\"hint\":\"look\"}");
}

static void an_alert_about_nothing_finite_is_still_json(void **state)
{
    (void)state;
    struct alert_change change = sample();
    change.value = (double)NAN;
    change.threshold = (double)INFINITY;
    change.rank_count = 0;
    change.ranks = NULL;
    change.layer = "";
    json_t *object = json_alert(&change);
    assert_string_equal(json_string_value(json_object_get(object, "value")), "nan");
    assert_string_equal(json_string_value(json_object_get(object, "threshold")), "inf");
    assert_true(json_is_null(json_object_get(object, "baseline")));
    assert_int_equal(json_array_size(json_object_get(object, "ranks")), 0);
    assert_int_equal(json_object_size(object), 18);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_short_and_the_non_finite_are_words),
        cmocka_unit_test(a_float_survives),
        cmocka_unit_test(text_that_is_not_utf8_is_kept_as_far_as_it_goes),
        cmocka_unit_test(an_alert_has_all_its_fields_in_order),
        cmocka_unit_test(an_alert_about_nothing_finite_is_still_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
