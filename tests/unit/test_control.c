#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/control.h"
#include "tests/unit/fake_runs.h"

enum { MANY = 60000 }; /* runs */

static struct control_reply reply;

static const char *ask(size_t runs, const char *name, const char *run, bool firing, uint32_t status)
{
    static char text[8192];
    struct registry registry = fake_registry(runs);
    struct msg_query query = {.name = name, .run = run, .firing = firing};
    struct moment now = {.ms = 3500, .wall = 102.5};
    assert_true(control_answer(&registry, &query, now, &reply));
    assert_int_equal(reply.status, status);
    snprintf(text, sizeof text, "%.*s", (int)reply.length, reply.text ? reply.text : "");
    control_reply_free(&reply);
    assert_null(reply.text);
    return text;
}

static void status_is_one_object(void **state)
{
    (void)state;
    char expected[1024];
    const char *said = ask(2, "status", "", false, 0);
    snprintf(
        expected, sizeof expected,
        "{\"version\":\"" EMBMON_VERSION "\",\"pid\":%d,\"logdir\":\"/logs\",\"uptime\":2.5,"
        "\"runs\":2,\"sessions\":2,\"produced\":409,\"acked\":400,\"kept\":380,\"durable\":300,"
        "\"rejected\":3,\"dropped\":1,\"in_flight\":5,"
        "\"invalid_frames\":4,\"unknown_frames\":0,\"failed_proofs\":0,\"bytes_pending\":10,"
        "\"write_failures\":2,\"write_error\":\"reviews: cannot write "
        "/logs/reviews/embmon/state: No space left on device: make some space\","
        "\"space\":\"the disk is nearly full\","
        "\"sinks\":[{\"name\":\"pager\",\"kind\":\"exec\",\"delivered\":5,\"failed\":2,"
        "\"waiting\":3,\"dropped\":1,\"held\":4,\"last_error\":\"exit status 3\"}],"
        "\"limits\":{\"connections\":{\"used\":0,\"limit\":1024,\"refused\":0},",
        (int)getpid());
    assert_memory_equal(said, expected, strlen(expected));
    assert_string_equal(said + strlen(said) - 4, "}}}\n"); /* one object, and its line ends */
}

static void runs_are_listed_one_a_line(void **state)
{
    (void)state;
    assert_string_equal(ask(0, "runs", "", false, 0), "");
    assert_string_equal(
        ask(2, "runs", "", false, 0),
        "{\"name\":\"reviews\",\"live\":true,\"step\":96,\"ranks\":2,\"every\":8,\"layers\":2,"
        "\"firing\":1,"
        "\"steps\":97,\"produced\":409,\"acked\":400,\"kept\":380,\"durable\":300,"
        "\"rejected\":3,\"dropped\":1,\"in_flight\":5,\"deleted\":7,\"bytes_pending\":10,"
        "\"write_failures\":2,\"write_error\":\"No space left on device\"}\n"
        "{\"name\":\"quiet\",\"live\":false,\"step\":null,\"ranks\":0,\"every\":0,\"layers\":0,"
        "\"firing\":0,"
        "\"steps\":0,\"produced\":0,\"acked\":0,\"kept\":0,\"durable\":0,\"rejected\":0,"
        "\"dropped\":0,\"in_flight\":0,\"deleted\":0,\"bytes_pending\":0,"
        "\"write_failures\":0,\"write_error\":\"\"}\n");
}

static const char layers[] =
    "{\"layer\":\"inner/embedding\",\"kind\":\"embedding\",\"trainable\":true,"
    "\"gradient_norm\":\"inf\",\"state\":\"firing\",\"silent\":{},\"activation\":\"\","
    "\"rows\":640}\n"
    "{\"layer\":\"out\",\"kind\":\"dense\",\"trainable\":false,\"gradient_norm\":null,"
    "\"state\":\"ok\",\"silent\":{\"gradient_vanishing\":\"not trainable\"},"
    "\"activation\":\"relu\",\"rows\":0}\n";

static void layers_say_norm_state_and_who_is_silent(void **state)
{
    (void)state;
    assert_string_equal(ask(2, "layers", "reviews", false, 0), layers);
    assert_string_equal(ask(2, "layers", "quiet", false, 0), "");
}

static void the_only_run_need_not_be_named(void **state)
{
    (void)state;
    assert_string_equal(ask(1, "layers", "", false, 0), layers);
    assert_string_equal(ask(2, "layers", "", false, 64),
                        "which run? the loaded runs are: reviews, quiet");
    assert_string_equal(ask(0, "layers", "", false, 64), "no run is loaded");
}

static size_t lines(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void alerts_say_whether_they_ever_fired(void **state)
{
    (void)state;
    const char *text = ask(2, "alerts", "", false, 0);
    assert_int_equal(lines(text), 3);
    assert_non_null(strstr(text, "\"detector\":\"gradient_vanishing\",\"severity\":\"warning\","
                                 "\"state\":\"resolved\",\"step\":90,\"first_step\":40,"));
    assert_non_null(strstr(text, "\"hint\":\"Look at the rate.\",\"fired\":true,"
                                 "\"fired_severity\":\"warning\"}\n"));
    assert_non_null(strstr(text, "\"value\":\"nan\""));
    assert_non_null(strstr(text, "\"hint\":\"\",\"fired\":false,\"fired_severity\":\"\"}\n"));
}

static void alerts_that_are_not_kept_are_counted(void **state)
{
    struct run *reviews = &fake_run_list[0];
    const char *text;

    (void)state;
    reviews->more.count = 950;
    reviews->more.change = fake_alerts[1].change;
    text = ask(2, "alerts", "", true, 0);
    assert_int_equal(lines(text), 2);
    assert_non_null(
        strstr(text, ",\"count\":950,\"fired\":true,\"fired_severity\":\"critical\"}\n"));
    reviews->more.change = fake_alerts[0].change; /* over */
    assert_int_equal(lines(ask(2, "alerts", "", true, 0)), 1);
    assert_int_equal(lines(ask(2, "alerts", "reviews", false, 0)), 4);
    assert_int_equal(lines(ask(2, "alerts", "quiet", false, 0)), 0);
    reviews->more.count = 0;
}

static void alerts_can_be_of_one_run_or_firing_only(void **state)
{
    (void)state;
    assert_int_equal(lines(ask(2, "alerts", "reviews", false, 0)), 3);
    assert_int_equal(lines(ask(2, "alerts", "quiet", false, 0)), 0);
    const char *text = ask(2, "alerts", "", true, 0);
    assert_int_equal(lines(text), 1);
    assert_non_null(strstr(text, "loss_nonfinite"));
}

static void what_is_not_there_is_a_usage_error(void **state)
{
    (void)state;
    assert_string_equal(ask(2, "alerts", "other", false, 64),
                        "no run other is loaded: the loaded runs are: reviews, quiet");
    assert_string_equal(
        ask(2, "drop tables", "", false, 64),
        "unknown query: this embmond answers status, runs, layers, alerts and watch");
}

static void the_live_run_is_watched_unless_another_is_named(void **state)
{
    (void)state;
    const char reviews[] = "{\"run\":\"reviews\",\"live\":true,";
    const char quiet[] = "{\"run\":\"quiet\",\"live\":false,";
    assert_memory_equal(ask(2, "watch", "", false, 0), reviews, sizeof reviews - 1);
    assert_memory_equal(ask(2, "watch", "quiet", false, 0), quiet, sizeof quiet - 1);
    assert_int_equal(lines(ask(2, "watch", "", false, 0)), 1);
    assert_string_equal(ask(2, "watch", "other", false, 64),
                        "no run other is loaded: the loaded runs are: reviews, quiet");
}

static void before_the_first_run_a_watch_is_to_ask_again(void **state)
{
    (void)state;
    assert_string_equal(ask(0, "watch", "", false, 75), "no run is loaded");
    assert_string_equal(ask(0, "watch", "reviews", false, 75), "no run is loaded");
    assert_string_equal(ask(0, "alerts", "reviews", false, 64), "no run is loaded");
}

static void without_a_live_run_the_newest_is_watched(void **state)
{
    (void)state;
    const char quiet[] = "{\"run\":\"quiet\",\"live\":false,";
    fake_run_list[0].status.live = false;
    assert_memory_equal(ask(2, "watch", "", false, 0), quiet, sizeof quiet - 1);
    fake_run_list[0].status.live = true;
}

static void of_several_live_runs_one_must_be_named(void **state)
{
    (void)state;
    struct run three[] = {fake_run_list[0], fake_run_list[1], fake_run_list[0]};
    struct registry registry = fake_registry(3);
    struct msg_query query = {.name = "watch", .run = ""};
    three[2].status.name = "more";
    registry.runs = three;
    assert_true(control_answer(&registry, &query, (struct moment){.ms = 1000}, &reply));
    assert_int_equal(reply.status, 64);
    assert_int_equal(reply.length, strlen("which run? the live runs are: reviews, more"));
    assert_memory_equal(reply.text, "which run? the live runs are: reviews, more", reply.length);
    control_reply_free(&reply);
}

static void an_answer_has_a_ceiling(void **state)
{
    (void)state;
    static struct run many[MANY];
    struct registry registry = fake_registry(1);
    struct msg_query query = {.name = "runs", .run = ""};
    for (size_t i = 0; i < MANY; i++)
        many[i] = fake_run_list[0];
    registry.runs = many;
    registry.count = MANY; /* 16 MB */
    assert_true(control_answer(&registry, &query, (struct moment){.ms = 1000}, &reply));
    assert_int_equal(reply.status, 0);
    assert_in_range(reply.length, 15 << 20, CONTROL_REPLY_MAX);
    control_reply_free(&reply);

    fake_run_list[0].status.write_error =
        "no space left on the device, and that for a long time, "
        "as far as anybody can tell from here, or even from there";
    for (size_t i = 0; i < MANY; i++)
        many[i] = fake_run_list[0];
    assert_true(control_answer(&registry, &query, (struct moment){.ms = 1000}, &reply));
    assert_int_equal(reply.status, 74);
    assert_memory_equal(reply.text, "the answer is too long", 22);
    control_reply_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_is_one_object),
        cmocka_unit_test(runs_are_listed_one_a_line),
        cmocka_unit_test(layers_say_norm_state_and_who_is_silent),
        cmocka_unit_test(the_only_run_need_not_be_named),
        cmocka_unit_test(alerts_say_whether_they_ever_fired),
        cmocka_unit_test(alerts_that_are_not_kept_are_counted),
        cmocka_unit_test(alerts_can_be_of_one_run_or_firing_only),
        cmocka_unit_test(what_is_not_there_is_a_usage_error),
        cmocka_unit_test(the_live_run_is_watched_unless_another_is_named),
        cmocka_unit_test(before_the_first_run_a_watch_is_to_ask_again),
        cmocka_unit_test(without_a_live_run_the_newest_is_watched),
        cmocka_unit_test(of_several_live_runs_one_must_be_named),
        cmocka_unit_test(an_answer_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
