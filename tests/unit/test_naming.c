#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/naming.h"
#include "embmon/embmon.h"
#include "tests/unit/folder.h"

static int clear_environment(void **state)
{
    (void)state;
    unsetenv("EMBMON_RUN");
    unsetenv("EMBMON_ADDRESS");
    unsetenv("TORCHELASTIC_RUN_ID");
    unsetenv("SLURM_JOB_ID");
    setenv("TZ", "UTC", 1);
    return 0;
}

static void the_option_wins_over_the_environment(void **state)
{
    char run[NAME_RUN_MAX + 1];

    (void)state;
    setenv("EMBMON_RUN", "launched", 1);
    assert_int_equal(naming_run(run, "mine/1", "train", 0, 1), 0);
    assert_string_equal(run, "mine/1");
    assert_int_equal(naming_run(run, NULL, "train", 0, 1), 0);
    assert_string_equal(run, "launched");
}

static void without_a_name_it_is_program_date_time_and_pid(void **state)
{
    char run[NAME_RUN_MAX + 1];

    (void)state;
    assert_int_equal(naming_run(run, NULL, "python3", 1700000000, 4711), 0);
    assert_string_equal(run, "python3-20231114-221320-4711");
    setenv("EMBMON_RUN", "", 1);
    assert_int_equal(naming_run(run, NULL, "my trainer\xff", 1700000000, 1), 0);
    assert_string_equal(run, "my_trainer_-20231114-221320-1");
    assert_int_equal(naming_run(run, NULL, "-sh", 1700000000, 1), 0);
    assert_string_equal(run, "_sh-20231114-221320-1");
    assert_int_equal(naming_run(run, NULL, "", 1700000000, 1), 0);
    assert_string_equal(run, "run-20231114-221320-1");
    assert_int_equal(naming_run(run, NULL, "", INT64_MAX, 1), 0);
    assert_string_equal(run, "run-00000000-000000-1");
}

static void a_bad_name_is_refused_never_repaired(void **state)
{
    char run[NAME_RUN_MAX + 1] = "untouched";

    (void)state;
    assert_int_equal(naming_run(run, "../up", "train", 0, 1), EMBMON_ENAME);
    assert_int_equal(naming_run(run, "", "train", 0, 1), EMBMON_ENAME);
    setenv("EMBMON_RUN", "a b", 1);
    assert_int_equal(naming_run(run, NULL, "train", 0, 1), EMBMON_ENAME);
    assert_string_equal(run, "untouched");
}

static void the_key_is_the_first_launcher_that_named_it(void **state)
{
    char key[NAMING_KEY_MAX + 1], text[300];

    (void)state;
    naming_key(key);
    assert_string_equal(key, "");
    setenv("SLURM_JOB_ID", "77", 1);
    naming_key(key);
    assert_string_equal(key, "77");
    setenv("TORCHELASTIC_RUN_ID", "none", 1);
    naming_key(key);
    assert_string_equal(key, "77");
    setenv("TORCHELASTIC_RUN_ID", "elastic", 1);
    naming_key(key);
    assert_string_equal(key, "elastic");
    setenv("EMBMON_RUN", "run", 1);
    naming_key(key);
    assert_string_equal(key, "run");
    memset(text, 'a', sizeof text);
    text[256] = '\0';
    setenv("EMBMON_RUN", text, 1); /* one byte too long */
    naming_key(key);
    assert_string_equal(key, "elastic");
    text[255] = '\0';
    setenv("EMBMON_RUN", text, 1);
    naming_key(key);
    assert_string_equal(key, text);
    setenv("EMBMON_RUN", "a\nb", 1);
    naming_key(key);
    assert_string_equal(key, "elastic");
}

static void the_address_is_the_option_the_environment_or_the_defaults(void **state)
{
    struct address addresses[ADDRESS_DEFAULTS_MAX];

    (void)state;
    setenv("EMBMON_ADDRESS", "unix:/b", 1);
    assert_int_equal(naming_addresses(addresses, "unix:/a"), 1);
    assert_string_equal(addresses[0].path, "/a");
    assert_int_equal(naming_addresses(addresses, NULL), 1);
    assert_string_equal(addresses[0].path, "/b");
    assert_int_equal(naming_addresses(addresses, "tcp:host:9000"), 1);
    assert_string_equal(addresses[0].host, "host");
    assert_int_equal(addresses[0].port, 9000);
    assert_int_equal(naming_addresses(addresses, "tcp:host:0"), EMBMON_EADDRESS);
    setenv("EMBMON_ADDRESS", "nonsense", 1);
    assert_int_equal(naming_addresses(addresses, NULL), EMBMON_EADDRESS);
    unsetenv("EMBMON_ADDRESS");
    setenv("XDG_RUNTIME_DIR", "/xdg", 1);
    assert_true(naming_addresses(addresses, NULL) >= 2);
    assert_string_equal(addresses[0].path, "/xdg/embmond.sock");
}

static void write_token(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void the_token_is_the_options_the_environments_or_none(void **state)
{
    struct token token;
    char given[64], other[64];

    (void)state;
    assert_int_equal(folder_make(NULL), 0);
    strcpy(given, folder_file("given"));
    strcpy(other, folder_file("other"));
    write_token(given, "the token of the option\n");
    write_token(other, "the token of the environment\n");
    unsetenv("EMBMON_TOKEN_FILE");
    assert_int_equal(naming_token(&token, NULL), 0);
    assert_int_equal(token.length, 0);
    setenv("EMBMON_TOKEN_FILE", other, 1);
    assert_int_equal(naming_token(&token, NULL), 0);
    assert_int_equal(token.length, strlen("the token of the environment"));
    assert_int_equal(naming_token(&token, given), 0);
    assert_int_equal(token.length, strlen("the token of the option"));
    unlink(other);
    assert_int_equal(naming_token(&token, NULL), EMBMON_ETOKEN);
    assert_int_equal(token.length, 0);
    unsetenv("EMBMON_TOKEN_FILE");
    assert_int_equal(folder_remove(NULL), 0);
}

int main(void)
{
#define CLEARED(test) cmocka_unit_test_setup(test, clear_environment)
    const struct CMUnitTest tests[] = {
        CLEARED(the_option_wins_over_the_environment),
        CLEARED(without_a_name_it_is_program_date_time_and_pid),
        CLEARED(a_bad_name_is_refused_never_repaired),
        CLEARED(the_key_is_the_first_launcher_that_named_it),
        CLEARED(the_address_is_the_option_the_environment_or_the_defaults),
        CLEARED(the_token_is_the_options_the_environments_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
