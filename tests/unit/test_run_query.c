#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "daemon/run_state.h"
#include "tests/unit/logdir.h"

static void a_new_run_has_nothing_to_say(void **state)
{
    struct peer peer = peer_open(registry, 1, 0);
    const struct run *run;
    struct run_status status;

    (void)state;
    peer_hello(&peer, (struct hello){.name = "a/b", .world = 2, .every = 4}, 0);
    run = registry_find(registry, "a/b");
    run_get_status(run, &status);
    assert_string_equal(status.name, "a/b");
    assert_string_equal(run_name(run), "a/b");
    assert_true(status.live);
    assert_int_equal(status.step, -1);
    assert_int_equal(status.steps, 0);
    assert_int_equal(status.ranks, 1);
    assert_int_equal(status.layers, 0);
    assert_int_equal(status.firing, 0);
    assert_int_equal(status.posts.acked + status.posts.rejected + status.posts.dropped, 0);
    assert_string_equal(status.write_error, "");
    assert_int_equal(run_next_step(run), 0);
    assert_int_equal(run_every(run), 4);
    peer_close(&peer, 1);
    run_get_status(run, &status);
    assert_false(status.live);
}

static void the_status_counts_over_all_members(void **state)
{
    struct peer a = peer_join(registry, 1, (struct hello){.world = 2}, 0);
    struct peer b = peer_join(registry, 2, (struct hello){.world = 2, .rank = 1}, 0), c;
    struct run_status status;

    (void)state;
    peer_step(&a, 0, 1, 1);
    peer_step(&b, 0, 1, 1);
    peer_post(&b, 0, 0, 1, 1); /* late */
    peer_beat(&a, 3, 1);
    peer_beat(&b, 4, 1);
    peer_close(&b, 2);
    c = peer_join(registry, 3, (struct hello){.world = 2, .rank = 1, .resume = true}, 3);
    run_get_status(registry_find(registry, "run"), &status);
    assert_int_equal(status.ranks, 2); /* rank 1 had two sessions */
    assert_int_equal(status.posts.acked, 6);
    assert_int_equal(status.posts.rejected, 1);
    assert_int_equal(status.posts.dropped, 7);
    assert_int_equal(status.layers, 2);
    assert_int_equal(status.steps, 1);
    assert_int_equal(status.step, 0);
    assert_int_equal(run_next_step(registry_find(registry, "run")), 1);
    peer_close(&a, 4);
    peer_close(&c, 4);
}

static void a_layers_status_is_its_last_norm_and_worst_alert(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    const struct run *run = registry_find(registry, "run");
    float norms[NORMS_KEPT];
    double norm;
    uint32_t alert;

    (void)state;
    run_layer_status(run, 0, &norm, &alert);
    assert_true(norm == -1);
    assert_int_equal(alert, EMBMON_RESOLVED);
    peer_post(&peer, 0, 0, 3, 1); /* 3 and -3 */
    peer_end(&peer, 0, 1);
    run_layer_status(run, 0, &norm, &alert);
    assert_true(fabs(norm - sqrt(18)) < 1e-12);
    run_layer_status(run, 1, &norm, &alert);
    assert_true(norm == -1); /* nothing was posted yet */
    peer_post(&peer, 2, 1, NAN, 2);
    peer_end(&peer, 1, 2);
    run_layer_status(run, 0, &norm, &alert);
    assert_true(fabs(norm - sqrt(18)) < 1e-12); /* its last step was the one before */
    run_layer_status(run, 1, &norm, &alert);
    assert_true(isnan(norm)); /* what is not finite has no norm */
    assert_int_equal(alert, EMBMON_FIRING);
    assert_string_equal(run_layer_detector(run, 1), "gradient_nonfinite");
    assert_string_equal(run_layer_detector(run, 0), "");
    assert_int_equal(run_layer_norms(run, 0, NORMS_KEPT, norms), 1);
    assert_int_equal(run_layer_norms(run, 1, NORMS_KEPT, norms), 1);
    assert_true(isnan(norms[0]));
    run_layer_status(run, 5000, &norm, &alert);
    assert_true(norm == -1);
    peer_close(&peer, 3);
}

static void the_status_has_the_last_loss_and_when_a_step_closed(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    struct run_status status;

    (void)state;
    run_get_status(registry_find(registry, "run"), &status);
    assert_false(status.loss_posted);
    peer_scalar(&peer, "loss", 0, 0.5, 10);
    peer_end(&peer, 0, 20);
    peer_step(&peer, 1, 1, 30); /* without a loss */
    run_get_status(registry_find(registry, "run"), &status);
    assert_true(status.loss_posted);
    assert_true(status.loss == 0.5);
    assert_int_equal(status.closed_ms, 30);
    peer_scalar(&peer, "loss", 2, NAN, 40);
    peer_end(&peer, 2, 40);
    run_get_status(registry_find(registry, "run"), &status);
    assert_true(status.loss_posted && isnan(status.loss));
    peer_close(&peer, 50);
}

struct seen {
    unsigned count, vanishing;
    char detector[64];
    bool fired;
};

static void see_silent(void *context, const char *detector, const char *reason)
{
    struct seen *seen = context;

    assert_true(*reason != '\0');
    seen->count++;
    seen->vanishing += strcmp(detector, "gradient_vanishing") == 0;
}

static void detectors_that_cannot_tell_say_why(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    const struct run *run = registry_find(registry, "run");
    struct seen seen = {0};
    unsigned of_layers = 0;

    (void)state;
    for (size_t d = 0; d < detector_count; d++)
        of_layers += !detectors[d].of_model;
    run_layer_silent(run, 0, see_silent, &seen);
    assert_int_equal(seen.count, of_layers); /* no step was judged yet */
    seen = (struct seen){0};
    peer_step(&peer, 0, 1, 1);
    run_layer_silent(run, 0, see_silent, &seen);
    assert_int_equal(seen.vanishing, 0); /* a gradient came, so this one can tell */
    assert_true(seen.count > 0);         /* no activation, no baseline */
    peer_close(&peer, 2);
}

static void see_alert(void *context, const struct alert_change *change, bool ever_fired)
{
    struct seen *seen = context;

    seen->count++;
    seen->fired = ever_fired;
    strncpy(seen->detector, change->detector, sizeof seen->detector - 1);
    assert_string_equal(change->run, "run");
}

static void alerts_are_told_with_their_newest_change(void **state)
{
    struct peer peer = peer_join(registry, 1, (struct hello){0}, 0);
    const struct run *run = registry_find(registry, "run");
    struct seen seen = {0};

    (void)state;
    run_alerts(run, see_alert, &seen);
    assert_int_equal(seen.count, 0);
    peer_scalar(&peer, "loss", 0, INFINITY, 1);
    peer_end(&peer, 0, 1);
    run_alerts(run, see_alert, &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.detector, "loss_nonfinite");
    assert_true(seen.fired);
    peer_close(&peer, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        logdir_test(a_new_run_has_nothing_to_say),
        logdir_test(the_status_counts_over_all_members),
        logdir_test(a_layers_status_is_its_last_norm_and_worst_alert),
        logdir_test(the_status_has_the_last_loss_and_when_a_step_closed),
        logdir_test(detectors_that_cannot_tell_say_why),
        logdir_test(alerts_are_told_with_their_newest_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
