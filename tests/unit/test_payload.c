#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon/alert/payload.h"
#include "embmon/embmon.h"

static const uint32_t RANKS[] = {0, 3};

static const struct alert_change fires = {
    .time = 1700000000.25,
    .run = "tower/run-2",
    .phase = EMBMON_TRAIN,
    .layer = "inner \"model\"/\\embedding\xc3\xa4",
    .variable = "",
    .signal = "gradient",
    .detector = "gradient_exploding",
    .severity = EMBMON_CRITICAL,
    .state = EMBMON_FIRING,
    .before = EMBMON_PENDING,
    .step = 4711,
    .first_step = 4709,
    .value = INFINITY,
    .threshold = 30,
    .value_given = true,
    .threshold_given = true,
    .ranks = RANKS,
    .rank_count = 2,
    .reason = "",
    .summary = "What happened.",
    .hint = "What to do.\nAnd then.",
};

static const struct payload_context context = {"pager", "node7", NULL};

static struct alert_change over(const char *reason)
{
    struct alert_change change = fires;

    change.time += 10;
    change.state = EMBMON_RESOLVED;
    change.before = EMBMON_FIRING;
    change.reason = reason;
    return change;
}

static struct outbox_batch one(const struct alert_change *change)
{
    return (struct outbox_batch){
        .ticket = 1, .count = 1, .items = {{.change = change, .started = 1700000000.25}}};
}

static json_t *parsed(char *text)
{
    json_t *value;

    assert_non_null(text);
    value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(value);
    free(text);
    return value;
}

static const char *text_at(json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text ? text : "(none)";
}

static void time_is_rfc_3339(void **state)
{
    (void)state;
    char text[PAYLOAD_TIME];

    assert_string_equal(payload_time(text, 0), "1970-01-01T00:00:00.000Z");
    assert_string_equal(payload_time(text, 1709210096.75), "2024-02-29T12:34:56.750Z");
    assert_string_equal(payload_time(text, -0.25), "1969-12-31T23:59:59.750Z");
}

static void labels_say_what_stays_the_same(void **state)
{
    (void)state;
    struct outbox_batch batch = one(&fires);
    json_t *array = parsed(payload_api_v2(&batch, &context));
    json_t *alert = json_array_get(array, 0), *labels = json_object_get(alert, "labels");
    json_t *expected =
        json_pack("{ss ss ss ss ss ss ss}", "alertname", "gradient_exploding", "instance", "node7",
                  "job", "embmond", "layer", "inner \"model\"/\\embedding\xc3\xa4", "phase",
                  "training", "run", "tower/run-2", "severity", "critical");

    assert_int_equal(json_array_size(array), 1);
    assert_true(json_equal(labels, expected));
    json_decref(expected);
    json_decref(array);
}

static void annotations_say_what_happened(void **state)
{
    (void)state;
    struct outbox_batch batch = one(&fires);
    json_t *array = parsed(payload_api_v2(&batch, &context));
    json_t *expected =
        json_pack("{ss ss ss ss ss ss ss ss}", "summary", "What happened.", "description",
                  "What to do.\nAnd then.", "signal", "gradient", "step", "4711", "first_step",
                  "4709", "ranks", "0,3", "value", "inf", "threshold", "30");

    assert_true(json_equal(json_object_get(json_array_get(array, 0), "annotations"), expected));
    json_decref(expected);
    json_decref(array);
}

static void what_fires_has_no_end(void **state)
{
    (void)state;
    struct outbox_batch batch = one(&fires);
    json_t *array = parsed(payload_api_v2(&batch, &context));
    json_t *alert = json_array_get(array, 0);

    assert_string_equal(text_at(alert, "startsAt"), "2023-11-14T22:13:20.250Z");
    assert_null(json_object_get(alert, "endsAt"));
    assert_null(json_object_get(alert, "generatorURL"));
    json_decref(array);
}

static void what_is_over_has_one(void **state)
{
    (void)state;
    struct alert_change change = over("cleared");
    struct outbox_batch batch = one(&change);
    json_t *array = parsed(payload_api_v2(&batch, &context));

    assert_string_equal(text_at(json_array_get(array, 0), "startsAt"), "2023-11-14T22:13:20.250Z");
    assert_string_equal(text_at(json_array_get(array, 0), "endsAt"), "2023-11-14T22:13:30.250Z");
    json_decref(array);
}

static void what_fired_to_the_last_ends_five_minutes_after_its_run(void **state)
{
    (void)state;
    struct alert_change change = over("closed");
    struct outbox_batch batch = one(&change);
    json_t *array = parsed(payload_api_v2(&batch, &context));

    assert_string_equal(text_at(json_array_get(array, 0), "endsAt"), "2023-11-14T22:18:30.250Z");
    json_decref(array);
}

static void no_end_is_before_its_beginning(void **state)
{
    (void)state;
    struct alert_change change = over("cleared");
    struct outbox_batch batch = one(&change);
    json_t *array;

    change.time -= 3600; /* somebody set the clock */
    array = parsed(payload_api_v2(&batch, &context));
    assert_string_equal(text_at(json_array_get(array, 0), "endsAt"), "2023-11-14T22:13:20.250Z");
    json_decref(array);
}

static void under_another_severity_it_is_over(void **state)
{
    (void)state;
    struct outbox_batch batch = one(&fires);
    json_t *array, *older;

    batch.items[0].also = 1u << EMBMON_WARNING;
    array = parsed(payload_api_v2(&batch, &context));
    assert_int_equal(json_array_size(array), 2);
    assert_null(json_object_get(json_array_get(array, 0), "endsAt"));
    older = json_array_get(array, 1);
    assert_string_equal(text_at(json_object_get(older, "labels"), "severity"), "warning");
    assert_string_equal(text_at(older, "endsAt"), "2023-11-14T22:13:20.250Z");
    json_decref(array);
}

static void a_link_goes_with_it(void **state)
{
    (void)state;
    struct payload_context linked = {"pager", "node7", "http://tb:6006/"};
    struct outbox_batch batch = one(&fires);
    json_t *array = parsed(payload_api_v2(&batch, &linked));

    assert_non_null(strstr(text_at(json_array_get(array, 0), "generatorURL"), "http://tb:6006/?"));
    json_decref(array);
}

static void the_webhook_gets_all_that_alertmanager_sends(void **state)
{
    (void)state;
    struct outbox_batch batch = one(&fires);
    json_t *payload = parsed(payload_receiver_v4(&batch, &context));
    json_t *alert = json_array_get(json_object_get(payload, "alerts"), 0);
    json_t *group = json_pack("{ss ss}", "alertname", "gradient_exploding", "run", "tower/run-2");

    assert_int_equal(json_object_size(payload), 10);
    assert_string_equal(text_at(payload, "receiver"), "pager");
    assert_string_equal(text_at(payload, "status"), "firing");
    assert_string_equal(text_at(payload, "version"), "4");
    assert_string_equal(text_at(payload, "externalURL"), "");
    assert_string_equal(text_at(payload, "groupKey"),
                        "{}:{alertname=\"gradient_exploding\", run=\"tower/run-2\"}");
    assert_true(json_equal(json_object_get(payload, "groupLabels"), group));
    assert_int_equal(json_integer_value(json_object_get(payload, "truncatedAlerts")), 0);
    assert_true(
        json_equal(json_object_get(payload, "commonLabels"), json_object_get(alert, "labels")));
    assert_true(json_equal(json_object_get(payload, "commonAnnotations"),
                           json_object_get(alert, "annotations")));
    assert_int_equal(json_object_size(alert), 7);
    assert_string_equal(text_at(alert, "status"), "firing");
    assert_string_equal(text_at(alert, "endsAt"), "0001-01-01T00:00:00Z");
    assert_string_equal(text_at(alert, "generatorURL"), "");
    assert_int_equal(strlen(text_at(alert, "fingerprint")), 16);
    json_decref(group);
    json_decref(payload);
}

static void what_alerts_have_in_common_is_said(void **state)
{
    (void)state;
    struct alert_change second = over("cleared");
    struct outbox_batch batch = one(&fires);
    json_t *payload, *labels, *annotations;

    second.layer = "other";
    batch.items[1] = (struct outbox_item){.change = &second, .started = 1700000000.25};
    batch.count = 2;
    payload = parsed(payload_receiver_v4(&batch, &context));
    labels = json_object_get(payload, "commonLabels");
    annotations = json_object_get(payload, "commonAnnotations");
    assert_string_equal(text_at(payload, "status"), "firing");
    assert_string_equal(text_at(labels, "run"), "tower/run-2");
    assert_null(json_object_get(labels, "layer"));
    assert_string_equal(text_at(annotations, "step"), "4711");
    assert_null(json_object_get(annotations, "reason"));
    json_decref(payload);
}

static void what_was_held_back_is_of_no_group_and_says_what_it_lacks(void **state)
{
    (void)state;
    struct outbox_batch batch = one(&fires);
    json_t *payload;

    batch.pooled = true;
    batch.more = 7;
    payload = parsed(payload_receiver_v4(&batch, &context));
    assert_string_equal(text_at(payload, "groupKey"), "{}:{}");
    assert_int_equal(json_object_size(json_object_get(payload, "groupLabels")), 0);
    assert_true(json_is_object(json_object_get(payload, "groupLabels")));
    assert_int_equal(json_integer_value(json_object_get(payload, "truncatedAlerts")), 7);
    assert_int_equal(json_object_size(payload), 10);
    json_decref(payload);
}

static void all_over_is_resolved(void **state)
{
    (void)state;
    struct alert_change change = over("closed");
    struct outbox_batch batch = one(&change);
    json_t *payload = parsed(payload_receiver_v4(&batch, &context));
    json_t *alert = json_array_get(json_object_get(payload, "alerts"), 0);

    assert_string_equal(text_at(payload, "status"), "resolved");
    assert_string_equal(text_at(alert, "status"), "resolved");
    assert_string_equal(text_at(alert, "endsAt"), "2023-11-14T22:13:30.250Z");
    json_decref(payload);
}

static void a_program_gets_the_line_of_alerts_jsonl(void **state)
{
    (void)state;
    char *line = payload_line(&fires);
    size_t n = strlen(line);
    json_t *object;

    assert_int_equal(line[n - 1], '\n');
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
    object = parsed(line);
    assert_int_equal(json_object_size(object), 18);
    assert_string_equal(text_at(object, "state"), "firing");
    assert_string_equal(text_at(object, "value"), "inf");
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_rfc_3339),
        cmocka_unit_test(labels_say_what_stays_the_same),
        cmocka_unit_test(annotations_say_what_happened),
        cmocka_unit_test(what_fires_has_no_end),
        cmocka_unit_test(what_is_over_has_one),
        cmocka_unit_test(what_fired_to_the_last_ends_five_minutes_after_its_run),
        cmocka_unit_test(no_end_is_before_its_beginning),
        cmocka_unit_test(under_another_severity_it_is_over),
        cmocka_unit_test(a_link_goes_with_it),
        cmocka_unit_test(the_webhook_gets_all_that_alertmanager_sends),
        cmocka_unit_test(what_alerts_have_in_common_is_said),
        cmocka_unit_test(what_was_held_back_is_of_no_group_and_says_what_it_lacks),
        cmocka_unit_test(all_over_is_resolved),
        cmocka_unit_test(a_program_gets_the_line_of_alerts_jsonl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
