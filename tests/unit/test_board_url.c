#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/tensorboard/board_url.h"
#include "embmon/embmon.h"

static struct alert_change change_in(const char *layer, const char *signal, const char *detector)
{
    return (struct alert_change){
        .run = "night/run-2.1",
        .phase = EMBMON_TRAIN,
        .layer = layer,
        .variable = "",
        .signal = signal,
        .detector = detector,
    };
}

/* The value of a parameter as a browser reads it. */
static const char *parameter(const char *url, const char *name)
{
    static char text[4096];
    const char *at = strstr(url, name);
    size_t used = 0;

    assert_non_null(at);
    for (at += strlen(name); *at && *at != '&' && *at != '#'; at++) {
        char digits[3] = {at[0] == '%' ? at[1] : 0, at[0] == '%' ? at[2] : 0, 0};

        assert_true(isalnum((unsigned char)*at) || strchr("%-._~", *at));
        text[used++] = *at == '%' ? (char)strtol(digits, NULL, 16) : *at;
        at += *at == '%' ? 2 : 0;
    }
    text[used] = '\0';
    return text;
}

static void a_sick_gradient_is_shown_with_its_norm(void **state)
{
    (void)state;
    struct alert_change change = change_in("inner/embedding_1", "gradient", "gradient_spike");
    char *url = board_url("http://host:6006/", &change);

    assert_int_equal(strncmp(url, "http://host:6006/?runFilter=", 28), 0);
    assert_string_equal(parameter(url, "runFilter="), "^night/run-2\\.1/embmon$");
    assert_string_equal(parameter(url, "tagFilter="),
                        "^(alerts/gradient_spike|anomaly|gradient_norm|gradients|gradients_log10|"
                        "nonfinite)/inner/embedding_1(/|$)");
    assert_string_equal(
        parameter(url, "pinnedCards="),
        "[{\"plugin\":\"scalars\",\"tag\":\"gradient_norm/inner/embedding_1\"},"
        "{\"plugin\":\"scalars\",\"tag\":\"alerts/gradient_spike/inner/embedding_1\"},"
        "{\"plugin\":\"histograms\",\"tag\":\"anomaly/inner/embedding_1\","
        "\"runId\":\"defaultExperimentId/night/run-2.1/embmon\"}]");
    assert_non_null(strstr(url, "&smoothing=0#timeseries"));
    free(url);
}

static void other_phases_have_their_own_tags(void **state)
{
    (void)state;
    struct alert_change change = change_in("a", "activation", "activation_nonfinite");
    char *url;

    change.phase = EMBMON_VALIDATE;
    url = board_url("http://host", &change);
    assert_string_equal(parameter(url, "tagFilter="),
                        "^validation/(alerts/activation_nonfinite|activations|nonfinite)/a(/|$)");
    assert_string_equal(parameter(url, "pinnedCards="),
                        "[{\"plugin\":\"scalars\",\"tag\":\"validation/nonfinite/a\"},{\"plugin\":"
                        "\"scalars\",\"tag\":\"validation/alerts/activation_nonfinite/a\"}]");
    free(url);
}

static void an_alert_of_the_whole_model_shows_the_loss(void **state)
{
    (void)state;
    struct alert_change change = change_in("", "loss", "loss_diverged");
    char *url = board_url("http://host", &change);

    assert_string_equal(parameter(url, "tagFilter="), "^(loss|alerts/loss_diverged)$");
    assert_string_equal(parameter(url, "pinnedCards="),
                        "[{\"plugin\":\"scalars\",\"tag\":\"loss\"},"
                        "{\"plugin\":\"scalars\",\"tag\":\"alerts/loss_diverged\"}]");
    free(url);
}

static void names_are_taken_literally(void **state)
{
    (void)state;
    struct alert_change change = change_in("tf.math.add (1)&x=\"\xc3\xa4\"#[0]", "ids", "d");
    char *url = board_url("http://host", &change);

    assert_string_equal(parameter(url, "tagFilter="),
                        "/tf\\.math\\.add \\(1\\)&x=\"\xc3\xa4\"#\\[0\\](/|$)");
    assert_non_null(strstr(parameter(url, "pinnedCards="),
                           "\"alerts/d/tf.math.add (1)&x=\\\"\xc3\xa4\\\"#[0]\""));
    free(url);
}

static void the_address_may_have_a_path(void **state)
{
    (void)state;
    struct alert_change change = change_in("a", "gradient", "d");
    char *url = board_url("https://host/team/tb///", &change);

    assert_int_equal(strncmp(url, "https://host/team/tb/?", 22), 0);
    free(url);
    url = board_url("https://host/tb?old=1#scalars", &change);
    assert_int_equal(strncmp(url, "https://host/tb/?runFilter=", 27), 0);
    free(url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sick_gradient_is_shown_with_its_norm),
        cmocka_unit_test(other_phases_have_their_own_tags),
        cmocka_unit_test(an_alert_of_the_whole_model_shows_the_loss),
        cmocka_unit_test(names_are_taken_literally),
        cmocka_unit_test(the_address_may_have_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
