#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "daemon/log.h"
#include "daemon/places.h"
#include "tests/unit/folder.h"

static char problem[LISTEN_PROBLEM_MAX], text[PLACES_TEXT_MAX];
static struct places places;

static struct config listening(const char *const *addresses)
{
    struct config config = {0};

    for (; *addresses; addresses++)
        assert_null(config_listen(&config, *addresses));
    return config;
}

static const char *token_file(const char *bytes)
{
    const char *path = folder_file("token");
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(bytes, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    return path;
}

static void all_addresses_are_served_and_closed(void **state)
{
    char socket[512];
    const char *addresses[] = {"tcp:127.0.0.1:0", socket, NULL};
    struct config config;

    (void)state;
    snprintf(socket, sizeof socket, "unix:%s", folder_file("s"));
    config = listening(addresses);
    assert_int_equal(places_open(&places, &config, 0, problem), 0);
    assert_int_equal(places.count, 2);
    assert_true(places.listeners[0].address.port > 0);
    assert_int_equal(access(socket + 5, F_OK), 0);
    places_for_command(&places, text);
    assert_string_equal(text, socket); /* it needs no token */
    places_close(&places);
    assert_int_equal(places.count, 0);
    assert_int_not_equal(access(socket + 5, F_OK), 0);
}

static void a_command_is_told_a_path_that_holds_in_any_folder(void **state)
{
    const char *addresses[] = {"unix:s", NULL};
    struct config config = listening(addresses);
    char before[400], expected[200];

    (void)state;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder_path), 0);
    assert_int_equal(places_open(&places, &config, 0, problem), 0);
    places_for_command(&places, text);
    snprintf(expected, sizeof expected, "unix:%s/s", folder_path);
    assert_string_equal(text, expected);
    places_close(&places);
    assert_int_equal(chdir(before), 0);
}

static void a_command_is_told_the_port_where_there_is_no_socket(void **state)
{
    const char *addresses[] = {"tcp:127.0.0.1:0", NULL};
    struct config config = listening(addresses);
    char expected[64];

    (void)state;
    assert_int_equal(places_open(&places, &config, 0, problem), 0);
    places_for_command(&places, text);
    snprintf(expected, sizeof expected, "tcp:127.0.0.1:%u", places.listeners[0].address.port);
    assert_string_equal(text, expected);
    places_close(&places);
}

/* Not even the socket that stands before it. */
static void nothing_is_served_where_a_token_is_missing(void **state)
{
    char socket[512];
    const char *addresses[] = {socket, "tcp:0.0.0.0:0", NULL};
    struct config config;

    (void)state;
    snprintf(socket, sizeof socket, "unix:%s", folder_file("s"));
    config = listening(addresses);
    assert_int_equal(places_open(&places, &config, 0, problem), EX_USAGE);
    assert_int_equal(places.count, 0);
    config.token_file = token_file("0123456789abcdef");
    assert_int_equal(places_open(&places, &config, 0, problem), 0);
    assert_int_equal(places.count, 2);
    assert_int_equal(places.token.length, 16);
    places_close(&places);
    assert_int_equal(places.token.length, 0);
}

static void a_token_file_that_is_none_is_named(void **state)
{
    const char *addresses[] = {"tcp:127.0.0.1:0", NULL};
    struct config config = listening(addresses);

    (void)state;
    config.token_file = token_file("short");
    assert_int_equal(places_open(&places, &config, 0, problem), EX_CONFIG);
    assert_int_equal(places.count, 0);
    assert_non_null(strstr(problem, config.token_file));
    assert_non_null(strstr(problem, "less than 16 bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_addresses_are_served_and_closed),
        cmocka_unit_test(a_command_is_told_a_path_that_holds_in_any_folder),
        cmocka_unit_test(a_command_is_told_the_port_where_there_is_no_socket),
        cmocka_unit_test(nothing_is_served_where_a_token_is_missing),
        cmocka_unit_test(a_token_file_that_is_none_is_named),
    };

    log_configure(LOG_LEVEL_ERROR, false);
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
