#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/webhook_rules.h"
#include "tests/unit/folder.h"

static void must_lead_to(const char *url, int format, const char *expected)
{
    struct sink_options options = {.kind = SINK_WEBHOOK, .url = strdup(url)};
    char *made;

    if (format == WEBHOOK_RECEIVER_V4)
        options.format = WEBHOOK_RECEIVER_V4;
    made = webhook_url(&options);
    assert_string_equal(made, expected);
    free(made);
    free(options.url);
}

static void the_api_has_its_path(void **state)
{
    (void)state;
    must_lead_to("http://am:9093", WEBHOOK_API_V2, "http://am:9093/api/v2/alerts");
    must_lead_to("http://am:9093/", WEBHOOK_API_V2, "http://am:9093/api/v2/alerts");
    must_lead_to("https://h/am//", WEBHOOK_API_V2, "https://h/am/api/v2/alerts");
    must_lead_to("http://am/api/v2/alerts", WEBHOOK_API_V2, "http://am/api/v2/alerts");
}

static void a_receiver_is_where_it_says(void **state)
{
    (void)state;
    must_lead_to("http://h/hook/?key=1", WEBHOOK_RECEIVER_V4, "http://h/hook/?key=1");
}

static void answers_are_sorted(void **state)
{
    (void)state;
    static const long failed[] = {0,   100, 301, 302, 308, 401, 403, 404,
                                  408, 425, 429, 500, 502, 503, 599, 999};
    static const long refused[] = {400, 402, 405, 409, 413, 415, 422, 451};

    assert_int_equal(webhook_outcome(199), OUTBOX_FAILED);
    assert_int_equal(webhook_outcome(200), OUTBOX_DELIVERED);
    assert_int_equal(webhook_outcome(204), OUTBOX_DELIVERED);
    assert_int_equal(webhook_outcome(299), OUTBOX_DELIVERED);
    for (size_t i = 0; i < sizeof failed / sizeof failed[0]; i++)
        assert_int_equal(webhook_outcome(failed[i]), OUTBOX_FAILED);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_int_equal(webhook_outcome(refused[i]), OUTBOX_REFUSED);
}

/* What is said against a webhook to this URL that leads to this address; NULL: nothing. */
static const char *against(const char *url, const char *text, bool allow_private)
{
    struct sink_options options = {.url = strdup(url), .allow_private = allow_private};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    const char *said;

    assert_int_equal(inet_pton(AF_INET, text, &v4.sin_addr), 1);
    said = webhook_forbids(&options, (const struct sockaddr *)&v4);
    free(options.url);
    return said;
}

static void a_name_leads_to_the_world_and_home_only_where_that_is_wanted(void **state)
{
    (void)state;
    assert_null(against("http://am.example.org:9093", "8.8.8.8", false));
    assert_non_null(strstr(against("http://am.example.org:9093", "10.0.0.1", false),
                           "private network: not connected to; write allow_private: true"));
    assert_null(against("http://am.example.org:9093", "10.0.0.1", true));
    assert_non_null(strstr(against("http://am.example.org:9093", "127.0.0.1", false),
                           "this machine: not connected to; write localhost"));
    assert_null(against("http://am.example.org:9093", "127.0.1.1", true));
}

static void what_the_url_says_itself_is_wanted(void **state)
{
    (void)state;
    assert_null(against("http://localhost:9093", "127.0.0.1", false));
    assert_null(against("http://127.0.0.1:9093", "127.0.0.1", false));
    assert_null(against("http://10.0.0.1:9093", "10.0.0.1", false));
    assert_non_null(against("http://localhost:9093", "10.0.0.1", false));
    assert_non_null(against("http://0x7f.1:9093", "127.0.0.1", false));
}

static void nobody_wants_what_no_receiver_has(void **state)
{
    static const char *const urls[] = {"http://169.254.169.254/", "http://localhost", "http://am"};

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_non_null(against(urls[i], "169.254.169.254", true));
        assert_non_null(against(urls[i], "0.0.0.0", true));
        assert_non_null(against(urls[i], "224.0.0.1", true));
    }
}

static char *token_of(const char *text, char problem[WEBHOOK_PROBLEM_MAX])
{
    FILE *file = fopen(folder_file("token"), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return webhook_token(folder_file("token"), problem);
}

static void a_token_is_one_word(void **state)
{
    (void)state;
    char problem[WEBHOOK_PROBLEM_MAX], *token = token_of(" \tabc.DEF-123=\r\n\n", problem);

    assert_string_equal(token, "abc.DEF-123=");
    free(token);
    assert_null(token_of("", problem));
    assert_non_null(strstr(problem, "must hold one word"));
    assert_null(token_of("\n \n", problem));
    assert_null(token_of("two words", problem));
    assert_null(token_of("evil\r\nHeader: x", problem));
    assert_null(token_of("\xc3\xa4", problem));
}

static void a_token_has_its_length(void **state)
{
    (void)state;
    char problem[WEBHOOK_PROBLEM_MAX], text[WEBHOOK_TOKEN_MAX + 8], *token;

    memset(text, 'x', sizeof text);
    text[WEBHOOK_TOKEN_MAX - 1] = '\0';
    token = token_of(text, problem);
    assert_int_equal(strlen(token), WEBHOOK_TOKEN_MAX - 1);
    free(token);
    text[WEBHOOK_TOKEN_MAX - 1] = 'x';
    text[WEBHOOK_TOKEN_MAX] = '\0';
    assert_null(token_of(text, problem));
}

static void what_is_no_file_has_no_token(void **state)
{
    (void)state;
    char problem[WEBHOOK_PROBLEM_MAX];

    assert_null(webhook_token(folder_file("none"), problem));
    assert_non_null(strstr(problem, "No such file"));
    assert_null(webhook_token(folder_path, problem));
    assert_int_equal(mkfifo(folder_file("fifo"), 0600), 0);
    assert_null(webhook_token(folder_file("fifo"), problem)); /* and nobody waits */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_api_has_its_path),
        cmocka_unit_test(a_receiver_is_where_it_says),
        cmocka_unit_test(answers_are_sorted),
        cmocka_unit_test(a_name_leads_to_the_world_and_home_only_where_that_is_wanted),
        cmocka_unit_test(what_the_url_says_itself_is_wanted),
        cmocka_unit_test(nobody_wants_what_no_receiver_has),
        cmocka_unit_test_setup_teardown(a_token_is_one_word, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(a_token_has_its_length, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(what_is_no_file_has_no_token, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
