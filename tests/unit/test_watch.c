#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "daemon/json.h"
#include "daemon/watch.h"
#include "tests/unit/fake_runs.h"

static const struct moment now = {.ms = 5500, .wall = 1000.5};

static json_t *watch(const struct run *run)
{
    json_t *object = watch_object(run, now);

    assert_non_null(object);
    return object;
}

static void must_be(json_t *object, const char *key, const char *expected)
{
    char *text = json_line(json_object_get(object, key));

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void a_run_is_one_object(void **state)
{
    (void)state;
    (void)fake_registry(2);
    json_t *object = watch(&fake_run_list[0]);
    must_be(object, "run", "\"reviews\"");
    must_be(object, "live", "true");
    must_be(object, "time", "1000.5");
    must_be(object, "step", "96");
    must_be(object, "ranks", "2");
    must_be(object, "loss", "\"nan\"");
    must_be(object, "age", "3.5");
    must_be(object, "firing", "1");
    must_be(object, "layers",
            "[{\"layer\":\"inner/embedding\",\"kind\":\"embedding\",\"trainable\":true,"
            "\"gradient_norm\":\"inf\",\"state\":\"firing\",\"detector\":\"gradient_exploding\","
            "\"norms\":[0.25,1e-7,123500000.0,\"inf\"]},"
            "{\"layer\":\"out\",\"kind\":\"dense\",\"trainable\":false,\"gradient_norm\":null,"
            "\"state\":\"ok\",\"detector\":\"\",\"norms\":[]}]");
    json_decref(object);
}

static void a_run_without_a_step_has_no_numbers(void **state)
{
    (void)state;
    json_t *object = watch(&fake_run_list[1]);
    must_be(object, "step", "null");
    must_be(object, "loss", "null");
    must_be(object, "age", "null");
    must_be(object, "layers", "[]");
    must_be(object, "alerts", "[]");
    json_decref(object);
}

static const char *detector_of(json_t *alerts, size_t index)
{
    return json_string_value(json_object_get(json_array_get(alerts, index), "detector"));
}

static void what_fires_comes_before_what_is_pending_and_what_is_over(void **state)
{
    (void)state;
    json_t *object = watch(&fake_run_list[0]), *alerts = json_object_get(object, "alerts");
    assert_int_equal(json_array_size(alerts), 3);
    assert_string_equal(detector_of(alerts, 0), "loss_nonfinite");
    assert_string_equal(detector_of(alerts, 1), "gradient_spike");
    assert_string_equal(detector_of(alerts, 2), "gradient_vanishing");
    assert_true(json_is_true(json_object_get(json_array_get(alerts, 2), "fired")));
    json_decref(object);
}

static void of_very_many_alerts_the_newest_that_matter_are_told(void **state)
{
    (void)state;
    enum { MANY = 500 };
    static struct fake_alert many[MANY];
    struct run run = fake_run_list[0];
    for (size_t i = 0; i < MANY; i++) {
        many[i] = fake_alerts[0];
        many[i].change.time = (double)i;
        many[i].change.state = i % 100 == 0 ? EMBMON_FIRING : EMBMON_RESOLVED;
    }
    run.alerts = many;
    run.alert_count = MANY;
    json_t *object = watch(&run), *alerts = json_object_get(object, "alerts");
    assert_int_equal(json_array_size(alerts), WATCH_ALERTS_MAX);
    for (size_t i = 0; i < WATCH_ALERTS_MAX; i++) {
        double time = json_real_value(json_object_get(json_array_get(alerts, i), "time"));
        /* 400, 300, 200, 100, 0 fire; then 499, 498, ... */
        assert_true(time == (i < 5 ? 400 - 100 * (double)i : 499 - (double)(i - 5)));
    }
    json_decref(object);
}

static void of_very_many_layers_each_tells_fewer_norms(void **state)
{
    (void)state;
    enum { MANY = WATCH_NORMS_MAX / 2 };
    struct run run = fake_run_list[0];
    struct layer *layers = calloc(MANY, sizeof *layers);
    assert_non_null(layers);
    for (size_t i = 0; i < MANY; i++)
        layers[i] = fake_layers[0];
    run.model = (struct model){.layers = layers, .layer_count = MANY};
    json_t *object = watch(&run);
    must_be(json_array_get(json_object_get(object, "layers"), 0), "norms", "[123500000.0,\"inf\"]");
    json_decref(object);
    free(layers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_one_object),
        cmocka_unit_test(a_run_without_a_step_has_no_numbers),
        cmocka_unit_test(what_fires_comes_before_what_is_pending_and_what_is_over),
        cmocka_unit_test(of_very_many_alerts_the_newest_that_matter_are_told),
        cmocka_unit_test(of_very_many_layers_each_tells_fewer_norms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
