#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/words.h"

static void take(struct words **words, int64_t id, const char *word)
{
    words_take(words, &(struct ids_word){id, word}, 1);
}

static void a_word_is_found_by_its_id(void **state)
{
    struct words *words = NULL;

    (void)state;
    assert_null(words_find(words, 0));
    words_take(&words, NULL, 0);
    assert_null(words);
    take(&words, 4711, "dress");
    take(&words, INT64_MIN, "padding");
    assert_string_equal(words_find(words, 4711), "dress");
    assert_string_equal(words_find(words, INT64_MIN), "padding");
    assert_null(words_find(words, 0));
    take(&words, 4711, "dresses"); /* the trainer knows */
    assert_string_equal(words_find(words, 4711), "dresses");
    words_free(words);
}

static void words_are_copied_and_fit(void **state)
{
    struct words *words = NULL;
    char word[IDS_WORD_BYTES + 2];

    (void)state;
    memset(word, 'a', sizeof word);
    word[IDS_WORD_BYTES + 1] = '\0';
    take(&words, 1, word);
    assert_int_equal(strlen(words_find(words, 1)), IDS_WORD_BYTES);
    words_free(words);
}

static void the_oldest_go_first(void **state)
{
    struct words *words = NULL;
    char word[16];

    (void)state;
    for (int i = 0; i < WORDS_KEPT; i++) {
        snprintf(word, sizeof word, "%d", i);
        take(&words, i, word);
    }
    for (int i = 0; i < WORDS_KEPT; i++) {
        snprintf(word, sizeof word, "%d", i);
        assert_string_equal(words_find(words, i), word);
    }
    take(&words, 0, "0"); /* known: nothing goes */
    assert_non_null(words_find(words, 1));
    take(&words, 1000, "new");
    assert_string_equal(words_find(words, 1000), "new");
    assert_null(words_find(words, 0));
    assert_non_null(words_find(words, 1));
    take(&words, 1001, "newer");
    assert_null(words_find(words, 1));
    assert_non_null(words_find(words, WORDS_KEPT - 1));
    words_free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_found_by_its_id),
        cmocka_unit_test(words_are_copied_and_fit),
        cmocka_unit_test(the_oldest_go_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
