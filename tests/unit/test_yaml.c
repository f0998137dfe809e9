#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>

#include "daemon/yaml.h"
#include "tests/unit/folder.h"

static char problem[YAML_PROBLEM_MAX];

static struct yaml_file *parsed(const char *text)
{
    struct yaml_file *file = yaml_file_parse("f", text, strlen(text), problem);

    if (!file)
        print_error("%s\n", problem);
    assert_non_null(file);
    return file;
}

static void must_refuse(const char *text, const char *sentence)
{
    assert_null(yaml_file_parse("f", text, strlen(text), problem));
    assert_string_equal(problem, sentence);
}

static void must_be_text(const struct yaml_node *node, const char *text, bool quoted, uint32_t line)
{
    assert_int_equal(node->kind, YAML_IS_TEXT);
    assert_string_equal(node->text, text);
    assert_int_equal(node->quoted, quoted);
    assert_int_equal(node->line, line);
    assert_int_equal(node->count, 0);
}

/* ---- what stands in a file */

static void a_tree_has_kinds_texts_and_lines(void **state)
{
    struct yaml_file *file = parsed("# first\n"
                                    "a: 1\n"
                                    "b:\n"
                                    "  - \"x\"\n"
                                    "  - {c: 'd', e: [f, 2.5]}\n"
                                    "g: |\n"
                                    "  two\n"
                                    "  lines\n");
    const struct yaml_node *root = yaml_file_root(file), *list, *inner;

    (void)state;
    assert_int_equal(root->kind, YAML_IS_MAP);
    assert_int_equal(root->line, 2);
    assert_int_equal(root->count, 6);
    must_be_text(root->items[0], "a", false, 2);
    must_be_text(root->items[1], "1", false, 2);
    must_be_text(root->items[2], "b", false, 3);
    list = root->items[3];
    assert_int_equal(list->kind, YAML_IS_LIST);
    assert_int_equal(list->line, 4);
    assert_int_equal(list->count, 2);
    must_be_text(list->items[0], "x", true, 4);
    inner = list->items[1];
    assert_int_equal(inner->kind, YAML_IS_MAP);
    assert_int_equal(inner->count, 4);
    must_be_text(inner->items[1], "d", true, 5);
    assert_int_equal(inner->items[3]->count, 2);
    must_be_text(inner->items[3]->items[1], "2.5", false, 5);
    must_be_text(root->items[5], "two\nlines\n", true, 6);
    yaml_file_free(file);
}

static void a_file_of_nothing_but_comments_has_no_root(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# nothing\n", "\xef\xbb\xbf# a mark\n",
                                        "  \n"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct yaml_file *file = parsed(texts[i]);

        assert_null(yaml_file_root(file));
        yaml_file_free(file);
    }
    yaml_file_free(NULL);
}

static void a_value_that_is_left_out_is_an_empty_plain_text(void **state)
{
    struct yaml_file *file = parsed("a:\nb: ''\n");

    (void)state;
    must_be_text(yaml_file_root(file)->items[1], "", false, 1);
    must_be_text(yaml_file_root(file)->items[3], "", true, 2);
    yaml_file_free(file);
}

/* ---- what may not stand there */

static void what_a_configuration_has_no_use_for_is_named_with_its_line(void **state)
{
    (void)state;
    must_refuse("a: 1\nb: *x\n",
                "f:2: *x is an alias: write the value itself; a pattern that begins "
                "with * goes in quotes, \"*x\"");
    must_refuse("a: &x 1\n", "f:1: &x is an anchor: write each value where it is meant");
    must_refuse("\na: &x [1]\n", "f:2: &x is an anchor: write each value where it is meant");
    must_refuse("&x a: 1\n", "f:1: &x is an anchor: write each value where it is meant");
    must_refuse("--- &x\na: *x\n", "f:1: &x is an anchor: write each value where it is meant");
    must_refuse("a: !!str 1\n", "f:1: tag:yaml.org,2002:str is a tag: write the plain value");
    must_refuse("a: !mine {}\n", "f:1: !mine is a tag: write the plain value");
    must_refuse("a: 1\n---\nb: 2\n", "f:2: a second document begins: write all into one");
    must_refuse("a: 1\nb: \"x\\0y\"\n", "f:2: a text holds a NUL: leave it out");
}

static void what_is_no_yaml_is_named_with_its_line(void **state)
{
    (void)state;
    must_refuse("a: 1\nb:\n\tc: 1\n",
                "f:3: this is no YAML (found character that cannot start any token): check the "
                "indentation (spaces, no tabs), colons and quotes");
    must_refuse("a: 1\nb: c: d\n",
                "f:2: this is no YAML (mapping values are not allowed in this context): check the "
                "indentation (spaces, no tabs), colons and quotes");
    must_refuse("a: 1\nb: \xff\n",
                "f:2: this is no text (invalid leading UTF-8 octet): write the file as UTF-8");
    must_refuse("a: 1\n\nb: \x01\n",
                "f:3: this is no text (control characters are not allowed): write the file as "
                "UTF-8");
    assert_null(yaml_file_parse("f", "a\0b", 3, problem));
    assert_non_null(strstr(problem, "f:1: this is no text"));
}

/* ---- how much may stand there */

static char *repeated(const char *part, size_t times)
{
    size_t n = strlen(part);
    char *text = malloc(n * times + 1);

    assert_non_null(text);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * n, part, n);
    text[n * times] = '\0';
    return text;
}

static void depth_is_bounded(void **state)
{
    static const char *const parts[] = {"[", "{a: ", "- ", "? ", "[{"};
    char deep[64] = "";

    (void)state;
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        strcat(deep, "[");
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        strcat(deep, "]");
    yaml_file_free(parsed(deep));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *text = repeated(parts[i], 100000);

        must_refuse(text, "f:1: more than 16 levels within each other: no key is that deep");
        free(text);
    }
}

static void the_number_of_values_is_bounded(void **state)
{
    char *text = repeated("- a\n", YAML_NODES_MAX - 1);

    (void)state;
    yaml_file_free(parsed(text));
    free(text);
    text = repeated("- a\n", YAML_NODES_MAX);
    must_refuse(text, "f:65536: the file holds more than 65536 values: shorten it");
    free(text);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(folder_file(name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_file_of_a_mebibyte_is_read_and_a_larger_one_is_not(void **state)
{
    char *text = repeated("#\n", YAML_BYTES_MAX / 2), expected[500];
    struct yaml_file *file;

    (void)state;
    write_file("large", text);
    file = yaml_file_read(folder_file("large"), problem);
    assert_non_null(file);
    assert_null(yaml_file_root(file));
    yaml_file_free(file);
    free(text);
    text = repeated("#\n", YAML_BYTES_MAX / 2 + 1);
    write_file("large", text);
    free(text);
    assert_null(yaml_file_read(folder_file("large"), problem));
    (void)snprintf(expected, sizeof expected, "%s:1: the file is larger than 1 MiB: shorten it",
                   folder_file("large"));
    assert_string_equal(problem, expected);
}

static void what_cannot_be_read_is_said_and_never_waited_for(void **state)
{
    (void)state;
    assert_null(yaml_file_read("/no/such/file", problem));
    assert_string_equal(problem,
                        "cannot read /no/such/file: No such file or directory: name a file "
                        "that is there");
    assert_null(yaml_file_read("/tmp", problem));
    assert_string_equal(problem, "/tmp is no regular file: name one");
    assert_null(yaml_file_read("/dev/zero", problem));
    assert_string_equal(problem, "/dev/zero is no regular file: name one");
    assert_int_equal(mkfifo(folder_file("fifo"), 0600), 0);
    assert_null(yaml_file_read(folder_file("fifo"), problem));
    assert_non_null(strstr(problem, "fifo is no regular file: name one"));
}

/* ---- sentences */

static void an_excerpt_is_short_whole_and_harmless(void **state)
{
    struct yaml_excerpt shown;
    char text[200];

    (void)state;
    assert_string_equal(yaml_excerpt(&shown, "plain"), "plain");
    assert_string_equal(yaml_excerpt(&shown, "a\nb\x1b[1m\xc2\x9b"), "a?b?[1m?");
    memset(text, 'x', sizeof text);
    text[60] = '\0';
    assert_string_equal(yaml_excerpt(&shown, text), text);
    text[60] = 'x';
    text[199] = '\0';
    yaml_excerpt(&shown, text);
    assert_int_equal(strlen(shown.text), 63);
    assert_string_equal(shown.text + 58, "xx...");
    text[0] = '\0';
    for (int i = 0; i < 40; i++)
        strcat(text, "\xe5\xb1\xa4"); /* three bytes each: 20 of them fit */
    assert_int_equal(strlen(yaml_excerpt(&shown, text)), 63);
    assert_string_equal(yaml_excerpt(&shown, "\xe5\xb1\xa4"), "\xe5\xb1\xa4");
}

static void a_long_problem_is_cut(void **state)
{
    char *name = repeated("n", 2000);

    (void)state;
    assert_false(yaml_complain(problem, name, 7, "%s", name));
    assert_int_equal(strlen(problem), YAML_PROBLEM_MAX - 1);
    assert_non_null(strstr(problem, "n:7: n"));
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_kinds_texts_and_lines),
        cmocka_unit_test(a_file_of_nothing_but_comments_has_no_root),
        cmocka_unit_test(a_value_that_is_left_out_is_an_empty_plain_text),
        cmocka_unit_test(what_a_configuration_has_no_use_for_is_named_with_its_line),
        cmocka_unit_test(what_is_no_yaml_is_named_with_its_line),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(the_number_of_values_is_bounded),
        cmocka_unit_test_setup_teardown(a_file_of_a_mebibyte_is_read_and_a_larger_one_is_not,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_said_and_never_waited_for,
                                        folder_make, folder_remove),
        cmocka_unit_test(an_excerpt_is_short_whole_and_harmless),
        cmocka_unit_test(a_long_problem_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
