#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ctl_text.h"

static char *shown;

static FILE *begin(void)
{
    static size_t length;

    free(shown);
    shown = NULL;
    return open_memstream(&shown, &length);
}

static const char *put(const char *text, size_t columns, bool utf8)
{
    FILE *out = begin();

    assert_in_range(text_put(out, text, columns, utf8), 0, columns);
    fclose(out);
    return shown;
}

/* All lines of the text, with '|' between them. */
static const char *wrap(const char *text, size_t columns, bool utf8)
{
    FILE *out = begin();

    while (*text) {
        text = text_wrap(out, text, columns, utf8);
        if (*text)
            fputc('|', out);
    }
    fclose(out);
    return shown;
}

static int start(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    free(shown);
    shown = NULL;
    return 0;
}

static void columns_are_not_bytes(void **state)
{
    (void)state;
    assert_int_equal(text_columns("abc", true), 3);
    assert_int_equal(text_columns("d\xc3\xa9j\xc3\xa0", true), 4);
    assert_int_equal(text_columns("\xe5\xb1\x82", true), 2);          /* a wide one */
    assert_int_equal(text_columns("e\xcc\x81", true), 1);             /* a combining accent */
    assert_int_equal(text_columns("\xf0\x9f\x98\x80", true), 2);      /* beyond 16 bits */
    assert_int_equal(text_columns("\xe5\xb1\x82\xc3\xa9", false), 2); /* a '?' each */
}

static void what_does_not_fit_is_cut_with_a_sign(void **state)
{
    (void)state;
    assert_string_equal(put("embedding", 9, true), "embedding");
    assert_string_equal(put("embedding", 8, true), "embeddi\xe2\x80\xa6");
    assert_string_equal(put("embedding", 8, false), "embeddi~");
    assert_string_equal(put("embedding", 1, false), "~");
    assert_string_equal(put("embedding", 0, false), "");
}

static void a_wide_character_is_never_halved(void **state)
{
    (void)state;
    assert_string_equal(put("\xe5\xb1\x82\xe5\xb1\x82", 4, true), "\xe5\xb1\x82\xe5\xb1\x82");
    assert_string_equal(put("\xe5\xb1\x82\xe5\xb1\x82", 3, true), "\xe5\xb1\x82\xe2\x80\xa6");
    assert_string_equal(put("\xe5\xb1\x82\xe5\xb1\x82", 2, true), "\xe2\x80\xa6");
}

static void what_would_move_the_cursor_is_shown_as_a_question(void **state)
{
    (void)state;
    assert_string_equal(put("a\x1b[2Jb\x7f\t", 80, true), "a?[2Jb??");
    assert_string_equal(put("a\xc2\x9b"
                            "b",
                            80, true),
                        "a?b"); /* a control of 8 bits */
    assert_string_equal(put("a\xe2\x80\xae"
                            "b",
                            80, true),
                        "a?b"); /* right to left */
    assert_string_equal(put("a\xe2\x80\x8d"
                            "b",
                            80, true),
                        "a?b"); /* a joiner */
    assert_string_equal(put("a\xff\xfe"
                            "b",
                            80, true),
                        "a??b");                           /* not UTF-8 */
    assert_string_equal(put("a\xe5\xb1", 80, true), "a?"); /* cut short */
    assert_string_equal(put("a\xe5\xb1\x82"
                            "b",
                            80, false),
                        "a?b");
}

static void blanks_fill_up_by_columns(void **state)
{
    FILE *out = begin();

    (void)state;
    text_pad(out, "\xe5\xb1\x82", 4, true);
    text_pad(out, "abc", 2, true);
    text_pad(out, "", 2, true);
    fclose(out);
    assert_string_equal(shown, "\xe5\xb1\x82  a\xe2\x80\xa6  ");
}

static void lines_break_between_words(void **state)
{
    (void)state;
    assert_string_equal(wrap("the gradient is zero", 12, true), "the gradient|is zero");
    assert_string_equal(wrap("the gradient is zero", 11, true), "the|gradient is|zero");
    assert_string_equal(wrap("the gradient is zero", 20, true), "the gradient is zero");
    assert_string_equal(wrap("a   b", 2, true), "a |b");
}

static void a_word_that_is_too_long_is_broken(void **state)
{
    (void)state;
    assert_string_equal(wrap("abcdefgh ij", 3, true), "abc|def|gh|ij");
    assert_string_equal(wrap("\xe5\xb1\x82\xe5\xb1\x82", 3, true), "\xe5\xb1\x82|\xe5\xb1\x82");
    assert_string_equal(wrap("\xe5\xb1\x82\xe5\xb1\x82", 1, true), "\xe5\xb1\x82|\xe5\xb1\x82");
}

/* Whatever a daemon says: a terminal's sequences and turned words are not for the terminal. */
static void plain_text_acts_on_no_terminal(void **state)
{
    char to[16];

    (void)state;
    assert_string_equal(text_plain(to, sizeof to,
                                   "a\x1b]0;b\x07"
                                   "c"),
                        "a?]0;b?c");
    assert_string_equal(text_plain(to, sizeof to,
                                   "a\xe2\x80\xae"
                                   "b\n"),
                        "a?b?");
    assert_string_equal(text_plain(to, sizeof to, "\xff\xc3\xa9\xc2\x9b"), "?\xc3\xa9?");
    assert_string_equal(text_plain(to, sizeof to, "fifteen letters, cut"), "fifteen letters");
    assert_string_equal(text_plain(to, 4, "ab\xc3\xa9"), "ab"); /* not within a character */
    assert_string_equal(text_plain(to, 1, "ab"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_acts_on_no_terminal),
        cmocka_unit_test(columns_are_not_bytes),
        cmocka_unit_test(what_does_not_fit_is_cut_with_a_sign),
        cmocka_unit_test(a_wide_character_is_never_halved),
        cmocka_unit_test(what_would_move_the_cursor_is_shown_as_a_question),
        cmocka_unit_test(blanks_fill_up_by_columns),
        cmocka_unit_test(lines_break_between_words),
        cmocka_unit_test(a_word_that_is_too_long_is_broken),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
