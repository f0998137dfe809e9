#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "client/vocabulary.h"
#include "proto/name.h"
#include "tests/unit/random.h"

static struct vocabularies all;

static int open_all(void **state)
{
    (void)state;
    return vocabularies_open(&all) ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    vocabularies_close(&all);
    return 0;
}

/* What is shown of a single word. */
static const char *shown(const char *word)
{
    const char *const words[] = {word};
    struct vocabulary *v = vocabulary_add(&all, words, 1);

    assert_non_null(v);
    return vocabulary_word(v, 0);
}

static void an_id_has_the_word_at_its_place(void **state)
{
    const char *const words[] = {"", "[UNK]", NULL, "dress", "\xc3\xa9t\xc3\xa9"};
    struct vocabulary *v = vocabulary_add(&all, words, 5);

    (void)state;
    assert_null(vocabulary_word(v, 0));
    assert_string_equal(vocabulary_word(v, 1), "[UNK]");
    assert_null(vocabulary_word(v, 2));
    assert_string_equal(vocabulary_word(v, 3), "dress");
    assert_string_equal(vocabulary_word(v, 4), "\xc3\xa9t\xc3\xa9");
    assert_null(vocabulary_word(v, 5));
    assert_null(vocabulary_word(v, -1));
    assert_null(vocabulary_word(v, INT64_MAX));
    assert_null(vocabulary_word(v, INT64_MIN));
    v = vocabulary_add(&all, NULL, 0);
    assert_null(vocabulary_word(v, 0));
}

static void words_are_the_clients_own(void **state)
{
    char word[] = "dress";
    const char *words[] = {word};
    struct vocabulary *v = vocabulary_add(&all, words, 1);

    (void)state;
    memset(word, 'x', sizeof word);
    words[0] = NULL;
    assert_string_equal(vocabulary_word(v, 0), "dress");
}

static void long_words_are_cut_between_characters(void **state)
{
    char word[200], *huge = malloc(1 << 20);

    (void)state;
    memset(word, 'a', sizeof word);
    word[64] = '\0';
    assert_string_equal(shown(word), word); /* just fits */
    word[64] = 'a', word[65] = '\0';
    assert_int_equal(strlen(shown(word)), 64);
    assert_string_equal(shown(word) + 60, "a...");
    /* Of two bytes each: 30 of them, and the dots. */
    for (int i = 0; i < 33; i++)
        memcpy(word + 2 * i, "\xc3\xa9", 2);
    word[66] = '\0';
    assert_int_equal(strlen(shown(word)), 63);
    assert_memory_equal(shown(word) + 58, "\xc3\xa9...", 6);
    assert_non_null(huge);
    memset(huge, 'b', (1 << 20) - 1);
    huge[(1 << 20) - 1] = '\0';
    assert_int_equal(strlen(shown(huge)), 64);
    free(huge);
}

static void what_is_no_text_is_replaced(void **state)
{
#define R "\xef\xbf\xbd"
    (void)state;
    assert_string_equal(shown("two\nlines\r\x1b[31m"), "two" R "lines" R R "[31m");
    assert_string_equal(shown("\x7f"), R);
    assert_string_equal(shown("\xc2\x85"), R R); /* a C1 control */
    assert_string_equal(shown("\xe2\x80\xa8"), R R R);
    assert_string_equal(shown("\xff\xc3"), R R);
    assert_string_equal(shown("a\xed\xa0\x80"), "a" R R R); /* a surrogate */
    assert_string_equal(shown("|<b>*_`"), "|<b>*_`");       /* text: who shows it escapes it */
#undef R
}

static void whatever_the_bytes_the_word_is_text(void **state)
{
    uint64_t r = 1;
    char word[100];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t n = random_below(&r, sizeof word);
        const char *got;

        for (size_t i = 0; i < n; i++)
            word[i] = (char)(1 + random_below(&r, 255));
        word[n] = '\0';
        got = shown(word);
        assert_true(n == 0 ? !got : name_is_text(got, strlen(got)));
        assert_true(!got || (strlen(got) > 0 && strlen(got) <= IDS_WORD_BYTES));
    }
}

static void what_a_batch_names_has_its_words(void **state)
{
    const char *const words[] = {"pad", "a", NULL, "c", "past the table"};
    struct vocabulary *v = vocabulary_add(&all, words, 5);
    struct ids_stats stats = {.count = 10,
                              .beyond = 1,
                              .worst = 4,
                              .busiest = {{3, 5}, {2, 2}, {1, 1}},
                              .busiest_count = 3};
    struct ids_word found[IDS_WORDS_MAX];
    const int64_t padding = 0;

    (void)state;
    assert_int_equal(vocabulary_name(v, &stats, &padding, found), 4);
    assert_int_equal(found[0].id, 4);
    assert_string_equal(found[0].word, "past the table");
    assert_int_equal(found[1].id, 0);
    assert_string_equal(found[1].word, "pad");
    assert_int_equal(found[2].id, 3);
    assert_string_equal(found[2].word, "c");
    assert_int_equal(found[3].id, 1);
    stats.beyond = 0, stats.negative = 1, stats.worst = -1;
    assert_int_equal(vocabulary_name(v, &stats, NULL, found), 2);
    stats.negative = 0, stats.beyond = 1, stats.worst = 0x1p200;
    assert_int_equal(vocabulary_name(v, &stats, NULL, found), 2);
}

static void as_many_words_as_can_be_named(void **state)
{
    const char *words[IDS_WORDS_MAX];
    struct ids_stats stats = {.count = 10, .beyond = 1, .worst = 9};
    struct ids_word found[IDS_WORDS_MAX];
    const int64_t padding = 8;

    (void)state;
    for (int i = 0; i < IDS_WORDS_MAX; i++)
        words[i] = "word";
    stats.busiest_count = IDS_BUSIEST_MAX;
    for (int i = 0; i < IDS_BUSIEST_MAX; i++)
        stats.busiest[i].id = i;
    assert_int_equal(
        vocabulary_name(vocabulary_add(&all, words, IDS_WORDS_MAX), &stats, &padding, found),
        IDS_WORDS_MAX);
}

static void there_is_room_for_so_many(void **state)
{
    static const char *words[1 << 20];
    size_t taken = 0;

    (void)state;
    assert_null(vocabulary_add(&all, words, VOCABULARY_WORDS_MAX + (size_t)1));
    for (size_t i = 0; i < 1 << 20; i++)
        words[i] = "a word of some forty bytes, all in all...";
    while (taken < 20 && vocabulary_add(&all, words, 1 << 20))
        taken++;
    assert_int_equal(taken, 5); /* of 46 MiB each */
    assert_non_null(vocabulary_add(&all, words, 1 << 16));
    vocabularies_close(&all);
    assert_null(vocabulary_add(&all, words, 1)); /* as where there is no reservation */
}

#define vocabulary_test(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        vocabulary_test(an_id_has_the_word_at_its_place),
        vocabulary_test(words_are_the_clients_own),
        vocabulary_test(long_words_are_cut_between_characters),
        vocabulary_test(what_is_no_text_is_replaced),
        vocabulary_test(whatever_the_bytes_the_word_is_text),
        vocabulary_test(what_a_batch_names_has_its_words),
        vocabulary_test(as_many_words_as_can_be_named),
        vocabulary_test(there_is_room_for_so_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
