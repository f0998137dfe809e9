#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "daemon/glob.h"

static void a_pattern_without_signs_is_itself(void **state)
{
    (void)state;
    assert_true(glob_match("", ""));
    assert_true(glob_match("dense", "dense"));
    assert_false(glob_match("dense", "dense_1"));
    assert_false(glob_match("dense_1", "dense"));
    assert_false(glob_match("", "a"));
    assert_false(glob_match("a", ""));
    assert_true(glob_match("[a]", "[a]")); /* no other sign means anything */
    assert_false(glob_match("[a]", "a"));
    assert_true(glob_match("a\\b", "a\\b"));
}

static void a_star_is_any_characters(void **state)
{
    (void)state;
    assert_true(glob_match("*", ""));
    assert_true(glob_match("***", ""));
    assert_true(glob_match("*", "a/b"));
    assert_true(glob_match("inner/*", "inner/tower/embedding"));
    assert_false(glob_match("inner/*", "inner"));
    assert_true(glob_match("*embedding*", "inner/embedding_1"));
    assert_true(glob_match("a*b*c", "abc"));
    assert_true(glob_match("a*b*c", "a-b-b-c-c"));
    assert_false(glob_match("a*b*c", "a-c-b"));
    assert_true(glob_match("*ab", "aab"));
    assert_true(glob_match("*aab*", "aaab"));
    assert_false(glob_match("*ab", "aba"));
    assert_true(glob_match("a**", "a"));
    assert_false(glob_match("a*", "b"));
}

static void a_question_mark_is_one_character(void **state)
{
    (void)state;
    assert_true(glob_match("embedding_?", "embedding_1"));
    assert_false(glob_match("embedding_?", "embedding_12"));
    assert_false(glob_match("embedding_?", "embedding_"));
    assert_true(glob_match("a?b", "a/b"));
    assert_true(glob_match("?", "\xe5\xb1\xa4"));
    assert_false(glob_match("??", "\xe5\xb1\xa4"));
    assert_true(glob_match("*?\xe5\xb1\xa4", "\xe5\xb1\xa4\xe5\xb1\xa4"));
    assert_false(glob_match("*??", "\xc3\xa9"));
    assert_true(glob_match("*?", "ab\xc3\xa9"));
    assert_false(glob_match("?*", ""));
}

static void a_pattern_without_a_slash_is_of_the_last_part(void **state)
{
    (void)state;
    assert_true(glob_match_path("embedding*", "inner/tower/embedding_1"));
    assert_false(glob_match_path("inner*", "inner/embedding"));
    assert_true(glob_match_path("inner*", "inner"));
    assert_true(glob_match_path("inner/*", "inner/tower/embedding_1"));
    assert_false(glob_match_path("tower/*", "inner/tower/embedding_1"));
    assert_true(glob_match_path("*/embedding", "inner/embedding"));
    assert_false(glob_match_path("*/embedding", "embedding"));
}

static void only_stars_match_the_whole_model(void **state)
{
    (void)state;
    assert_true(glob_match_path("*", ""));
    assert_true(glob_match_path("**", ""));
    assert_false(glob_match_path("?", ""));
    assert_false(glob_match_path("*/*", ""));
    assert_false(glob_match_path("a*", ""));
}

/* Where recursion would try every way to share 255 letters among 127 stars. */
static void many_stars_take_no_time(void **state)
{
    char pattern[256] = "", text[256] = "";

    (void)state;
    for (size_t i = 0; i + 2 < sizeof pattern; i += 2)
        memcpy(pattern + i, "*a", 2);
    memset(text, 'a', 255);
    assert_true(glob_match(pattern, text));
    pattern[253] = 'b';
    for (int i = 0; i < 1000; i++)
        assert_false(glob_match(pattern, text));
    memset(pattern, 'a', 127);
    pattern[0] = '*', pattern[126] = 'b', pattern[127] = '\0'; /* the worst: 128 tries of 126 */
    for (int i = 0; i < 1000; i++)
        assert_false(glob_match(pattern, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_without_signs_is_itself),
        cmocka_unit_test(a_star_is_any_characters),
        cmocka_unit_test(a_question_mark_is_one_character),
        cmocka_unit_test(a_pattern_without_a_slash_is_of_the_last_part),
        cmocka_unit_test(only_stars_match_the_whole_model),
        cmocka_unit_test(many_stars_take_no_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
