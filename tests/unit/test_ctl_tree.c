#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/ctl_tree.h"

enum { LINES = 16 };

static void must_draw(const char *const *paths, size_t count, bool utf8, const char *expected)
{
    static struct tree_line lines[LINES];
    char text[LINES * TREE_TEXT_BYTES] = "";
    size_t n = tree_draw(paths, count, utf8, lines, LINES), used = 0;

    assert_in_range(n, 0, LINES);
    assert_int_equal(tree_draw(paths, count, utf8, NULL, 0), n);
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 lines[i].layer == TREE_NONE ? "%s\n" : "%s %d\n", lines[i].text,
                                 lines[i].layer);
    assert_string_equal(text, expected);
}

#define DRAW(utf8, expected, ...)                                                                  \
    must_draw((const char *const[]){__VA_ARGS__},                                                  \
              sizeof(const char *const[]){__VA_ARGS__} / sizeof(const char *), utf8, expected)

static void layers_without_a_branch_are_a_list(void **state)
{
    (void)state;
    DRAW(false, "a 0\nb 1\n", "a", "b");
}

static void an_inner_model_is_a_branch(void **state)
{
    (void)state;
    DRAW(false, "inner\n|-user 0\n`-item 1\nout 2\n", "inner/user", "inner/item", "out");
    DRAW(true, "inner\n\xe2\x94\x9c user 0\n\xe2\x94\x94 item 1\n", "inner/user", "inner/item");
}

static void a_branch_stands_where_its_first_layer_does(void **state)
{
    (void)state;
    DRAW(false, "a\n|-x 0\n`-y 2\nb 1\n", "a/x", "b", "a/y");
}

static void branches_have_branches(void **state)
{
    (void)state;
    DRAW(false, "m\n|-a\n| |-x 0\n| `-y 1\n`-b\n  |-x 2\n  `-y 3\n", "m/a/x", "m/a/y", "m/b/x",
         "m/b/y");
}

static void what_leads_to_one_place_takes_one_line(void **state)
{
    (void)state;
    DRAW(false, "a/b/c 0\nd/e\n|-x/y 1\n`-z 2\n", "a/b/c", "d/e/x/y", "d/e/z");
}

static void a_layer_may_have_layers_in_it(void **state)
{
    (void)state;
    DRAW(false, "a 0\n`-b 1\n", "a", "a/b");
    DRAW(false, "a 1\n`-b 0\n", "a/b", "a");
}

static void what_is_very_deep_keeps_its_slashes(void **state)
{
    (void)state;
    DRAW(false, "1/2/3/4/5/6/7\n|-8/9/10/11 0\n`-x 1\n", "1/2/3/4/5/6/7/8/9/10/11",
         "1/2/3/4/5/6/7/x");
}

static void a_path_of_slashes_and_letters_fits(void **state)
{
    char path[NAME_LAYER_MAX + 1], other[NAME_LAYER_MAX + 1];
    struct tree_line lines[4 * TREE_DEPTH_MAX];

    (void)state;
    for (size_t i = 0; i < NAME_LAYER_MAX; i++)
        path[i] = i % 2 ? '/' : 'a';
    path[NAME_LAYER_MAX] = '\0';
    memcpy(other, path, sizeof path);
    other[NAME_LAYER_MAX - 1] = 'b';
    const char *const paths[] = {"a/a/a/a/a/a/b", "a/a/a/a/a/b", "a/a/a/a/b", "a/a/a/b",
                                 "a/a/b",         "a/b",         path,        other};
    size_t n = tree_draw(paths, 8, true, lines, 4 * TREE_DEPTH_MAX);
    assert_in_range(n, 8, 16);
    assert_int_equal(lines[n - 1].layer, 0 + 5);
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        longest = strlen(lines[i].text) > longest ? strlen(lines[i].text) : longest;
    assert_true(longest > NAME_LAYER_MAX - 20 && longest < TREE_TEXT_BYTES);
}

static void only_so_many_lines_are_written(void **state)
{
    const char *const paths[] = {"a", "b", "c"};
    struct tree_line lines[3] = {{.text = ""}, {.text = ""}, {.text = "mine", .layer = 7}};

    (void)state;
    assert_int_equal(tree_draw(paths, 3, false, lines, 2), 3);
    assert_string_equal(lines[1].text, "b");
    assert_string_equal(lines[2].text, "mine");
    assert_int_equal(tree_draw(NULL, 0, false, lines, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_without_a_branch_are_a_list),
        cmocka_unit_test(an_inner_model_is_a_branch),
        cmocka_unit_test(a_branch_stands_where_its_first_layer_does),
        cmocka_unit_test(branches_have_branches),
        cmocka_unit_test(what_leads_to_one_place_takes_one_line),
        cmocka_unit_test(a_layer_may_have_layers_in_it),
        cmocka_unit_test(what_is_very_deep_keeps_its_slashes),
        cmocka_unit_test(a_path_of_slashes_and_letters_fits),
        cmocka_unit_test(only_so_many_lines_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
