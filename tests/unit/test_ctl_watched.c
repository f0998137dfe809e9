#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "daemon/ctl_watched.h"

static struct watched watched;

static void read(const char *json)
{
    json_t *object = json_loads(json, JSON_DECODE_ANY, NULL);

    assert_non_null(object);
    assert_true(watched_read(&watched, object));
}

static int stop(void **state)
{
    (void)state;
    watched_free(&watched);
    return 0;
}

static void an_answer_becomes_a_struct(void **state)
{
    (void)state;
    read(
        "{\"run\":\"reviews\",\"live\":true,\"time\":100.5,\"step\":9,\"ranks\":2,\"loss\":\"nan\","
        "\"age\":0.25,\"firing\":1,\"layers\":[{\"layer\":\"a/b\",\"state\":\"firing\","
        "\"detector\":\"gradient_spike\",\"gradient_norm\":0.5,\"norms\":[1,0.5,\"inf\",\"-inf\","
        "\"nan\"]}],\"alerts\":[{\"state\":\"pending\",\"severity\":\"warning\",\"time\":99,"
        "\"detector\":\"gradient_spike\",\"phase\":\"training\",\"layer\":\"a/b\","
        "\"variable\":\"kernel\",\"summary\":\"It rose.\",\"hint\":\"Look.\",\"step\":9,"
        "\"first_step\":8}]}");
    assert_string_equal(watched.run, "reviews");
    assert_true(watched.live && watched.time == 100.5);
    assert_true(watched.step.value == 9 && watched.ranks.value == 2 && watched.firing.value == 1);
    assert_true(watched.loss.given && isnan(watched.loss.value));
    assert_true(watched.age.value == 0.25);
    assert_int_equal(watched.layer_count, 1);
    const struct watched_layer *layer = &watched.layers[0];
    assert_string_equal(layer->path, "a/b");
    assert_string_equal(layer->detector, "gradient_spike");
    assert_int_equal(layer->state, WATCHED_FIRING);
    assert_true(layer->norm.given && layer->norm.value == 0.5);
    assert_int_equal(layer->norm_count, 5);
    assert_true(layer->norms[0] == 1 && isinf(layer->norms[2]) == 1);
    assert_true(isinf(layer->norms[3]) == -1 && isnan(layer->norms[4]));
    assert_int_equal(watched.alert_count, 1);
    const struct watched_alert *alert = &watched.alerts[0];
    assert_string_equal(alert->state, "pending");
    assert_int_equal(alert->level, WATCHED_PENDING);
    assert_string_equal(alert->variable, "kernel");
    assert_string_equal(alert->hint, "Look.");
    assert_true(alert->time == 99 && alert->step == 9 && alert->first_step == 8);
}

static void null_is_no_number(void **state)
{
    (void)state;
    read("{\"step\":null,\"loss\":null,\"age\":\"soon\",\"layers\":[{\"gradient_norm\":null}]}");
    assert_false(watched.step.given || watched.loss.given || watched.age.given);
    assert_false(watched.layers[0].norm.given);
    assert_int_equal(watched.layers[0].norm_count, 0);
}

static void of_too_many_norms_the_last_are_kept(void **state)
{
    json_t *norms = json_array();

    (void)state;
    for (int i = 0; i < WATCHED_NORMS + 3; i++)
        json_array_append_new(norms, json_integer(i));
    assert_true(watched_read(&watched, json_pack("{s[{so}]}", "layers", "norms", norms)));
    assert_int_equal(watched.layers[0].norm_count, WATCHED_NORMS);
    assert_true(watched.layers[0].norms[0] == 3);
}

static void what_is_of_another_kind_is_not_there(void **state)
{
    (void)state;
    read("[1,2]");
    assert_string_equal(watched.run, "");
    assert_int_equal(watched.layer_count + watched.alert_count, 0);
    watched_free(&watched);
    read("{\"run\":7,\"layers\":[3,null],\"alerts\":[{\"state\":[],\"time\":\"x\"}]}");
    assert_string_equal(watched.run, "");
    assert_string_equal(watched.layers[1].path, "");
    assert_string_equal(watched.alerts[0].state, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_answer_becomes_a_struct, stop),
        cmocka_unit_test_teardown(null_is_no_number, stop),
        cmocka_unit_test_teardown(of_too_many_norms_the_last_are_kept, stop),
        cmocka_unit_test_teardown(what_is_of_another_kind_is_not_there, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
