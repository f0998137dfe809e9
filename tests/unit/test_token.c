#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/token.h"
#include "tests/unit/folder.h"

static const char secret[] = "0123456789abcdef";

static char path[80]; /* of the token file */

static void write_token(const void *bytes, size_t n, mode_t mode)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void expect_problem(const char *part)
{
    struct token token = {.length = 99};
    const char *problem = token_read(&token, path);

    assert_non_null(problem);
    if (!strstr(problem, part))
        fail_msg("\"%s\" does not say \"%s\"", problem, part);
    assert_int_equal(token.length, 0);
}

static void expect_secret(const char *bytes, size_t n)
{
    struct token token;

    assert_null(token_read(&token, path));
    assert_int_equal(token.length, n);
    assert_memory_equal(token.bytes, bytes, n);
}

static void the_newline_at_its_end_is_no_part_of_it(void **state)
{
    (void)state;
    write_token("0123456789abcdef", 16, 0600);
    expect_secret(secret, 16);
    write_token("0123456789abcdef\n", 17, 0600);
    expect_secret(secret, 16);
    write_token("0123456789abcdef\r\n", 18, 0400);
    expect_secret(secret, 16);
    write_token("0123456789abcdef\n\n", 18, 0600);
    expect_secret("0123456789abcdef\n", 17);
    write_token("0123456789\0abcde\xff", 17, 0600);
    expect_secret("0123456789\0abcde\xff", 17);
}

static void one_that_others_may_use_is_refused(void **state)
{
    static const mode_t open_to_others[] = {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0777};

    (void)state;
    for (size_t i = 0; i < sizeof open_to_others / sizeof *open_to_others; i++) {
        write_token(secret, 16, open_to_others[i]);
        expect_problem("chmod 600");
    }
}

static void its_length_has_bounds(void **state)
{
    static char bytes[TOKEN_MAX + 2];

    (void)state;
    memset(bytes, 'x', sizeof bytes);
    write_token("", 0, 0600);
    expect_problem("less than 16 bytes");
    write_token("\n", 1, 0600);
    expect_problem("less than 16 bytes");
    write_token("0123456789abcde\n", 16, 0600);
    expect_problem("less than 16 bytes");
    write_token(bytes, TOKEN_MAX, 0600);
    expect_secret(bytes, TOKEN_MAX);
    bytes[TOKEN_MAX] = '\n';
    write_token(bytes, TOKEN_MAX + 1, 0600);
    expect_secret(bytes, TOKEN_MAX);
    bytes[TOKEN_MAX] = 'x';
    write_token(bytes, TOKEN_MAX + 1, 0600);
    expect_problem("more than 4,096 bytes");
    write_token(bytes, TOKEN_MAX + 2, 0600);
    expect_problem("more than 4,096 bytes");
}

static void what_is_no_file_is_neither_read_nor_waited_for(void **state)
{
    (void)state;
    unlink(path);
    expect_problem("no such file");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_problem("not a file");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_problem("not a file");
    rmdir(path);
}

static void a_forgotten_one_leaves_nothing_behind(void **state)
{
    struct token token, nothing = {0};

    (void)state;
    write_token(secret, 16, 0600);
    assert_null(token_read(&token, path));
    token_forget(&token);
    assert_memory_equal(&token, &nothing, sizeof token);
}

static int make_folder(void **state)
{
    int result = folder_make(state);

    strcpy(path, folder_file("token"));
    return result;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newline_at_its_end_is_no_part_of_it),
        cmocka_unit_test(one_that_others_may_use_is_refused),
        cmocka_unit_test(its_length_has_bounds),
        cmocka_unit_test(what_is_no_file_is_neither_read_nor_waited_for),
        cmocka_unit_test(a_forgotten_one_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, make_folder, folder_remove);
}
