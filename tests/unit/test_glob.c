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

/* Both ways say the same, of short texts of few letters, where much matches. */
static void made_ready_it_matches_the_same(void **state)
{
    static const char *const parts[] = {"a", "b", "*", "?", "/", "ab", "\xc3\xa9", "\xe5\xb1\xa4"};
    uint32_t random = 1;
    size_t matches = 0;
    struct glob glob;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        char pattern[64] = "", text[64] = "";

        for (random = random * 1664525 + 1013904223; (random >> 28) > 3;
             random = random * 1664525 + 1013904223)
            if (strlen(pattern) < 48)
                strcat(pattern, parts[random >> 8 & 7]);
        for (random = random * 1664525 + 1013904223; (random >> 28) > 3;
             random = random * 1664525 + 1013904223)
            if (strlen(text) < 48 && (random >> 8 & 6) != 2)
                strcat(text, parts[random >> 8 & 7]);
        glob_compile(&glob, pattern);
        if (glob_matches_path(&glob, text) != glob_match_path(pattern, text))
            fail_msg("'%s' and '%s'", pattern, text);
        matches += glob_match_path(pattern, text);
    }
    assert_true(matches > 5000 && matches < 195000);
}

static void made_ready_it_is_as_long_as_it_may_be(void **state)
{
    char pattern[GLOB_MAX + 1] = "", text[NAME_LAYER_MAX + 1] = "";
    struct glob glob;

    (void)state;
    memset(text, 'a', NAME_LAYER_MAX);
    memset(pattern, 'a', GLOB_MAX);
    glob_compile(&glob, pattern);
    assert_true(glob_matches_path(&glob, text));
    text[NAME_LAYER_MAX - 1] = 'b';
    assert_false(glob_matches_path(&glob, text));
    memset(pattern, '?', GLOB_MAX);
    glob_compile(&glob, pattern);
    assert_true(glob_matches_path(&glob, text));
    pattern[GLOB_MAX - 1] = '*';
    glob_compile(&glob, pattern);
    assert_true(glob_matches_path(&glob, text));
    memset(pattern, '*', GLOB_MAX);
    glob_compile(&glob, pattern);
    assert_true(glob_matches_path(&glob, text) && glob_matches_path(&glob, ""));
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
        cmocka_unit_test(made_ready_it_matches_the_same),
        cmocka_unit_test(made_ready_it_is_as_long_as_it_may_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
