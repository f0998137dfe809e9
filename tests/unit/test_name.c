#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "proto/name.h"

static bool text(const char *bytes)
{
    return name_is_text(bytes, strlen(bytes));
}

static void text_is_utf8(void **state)
{
    (void)state;
    assert_true(name_is_text("", 0));
    assert_true(text("inner_model/embedding_1:0 (copy)"));
    assert_true(text("\xc2\xa0"));         /* U+00A0, the first after C1 */
    assert_true(text("\xdf\xbf"));         /* U+07FF */
    assert_true(text("\xe0\xa0\x80"));     /* U+0800 */
    assert_true(text("\xed\x9f\xbf"));     /* U+D7FF */
    assert_true(text("\xee\x80\x80"));     /* U+E000 */
    assert_true(text("\xef\xbf\xbf"));     /* U+FFFF */
    assert_true(text("\xf0\x90\x80\x80")); /* U+10000 */
    assert_true(text("\xf4\x8f\xbf\xbf")); /* U+10FFFF */
    assert_true(text("caf\xc3\xa9 \xe5\xb1\xa4 \xf0\x9f\x98\x80"));
}

static void what_is_not_utf8_is_refused(void **state)
{
    (void)state;
    assert_false(text("\x80")); /* a second byte without a first */
    assert_false(text("\xbf"));
    assert_false(text("\xc0\xaf")); /* '/' in two bytes */
    assert_false(text("\xc1\xbf"));
    assert_false(text("\xe0\x9f\xbf"));     /* overlong U+07FF */
    assert_false(text("\xf0\x8f\xbf\xbf")); /* overlong U+FFFF */
    assert_false(text("\xed\xa0\x80"));     /* the surrogate U+D800 */
    assert_false(text("\xed\xbf\xbf"));     /* the surrogate U+DFFF */
    assert_false(text("\xf4\x90\x80\x80")); /* U+110000 */
    assert_false(text("\xf5\x80\x80\x80"));
    assert_false(text("\xff"));
    assert_false(text("a\xc3")); /* cut */
    assert_false(text("a\xe5\xb1"));
    assert_false(text("a\xf0\x9f\x98"));
    assert_false(text("\xc3"
                      "a"));
    assert_false(text("\xe5\xb1"
                      "a"));
    assert_false(text("\xf0\x9f\x98"
                      "a"));
    assert_false(name_is_text("\xe5\xb1\xa4", 2)); /* what follows n is not read as its end */
}

static void control_characters_and_line_ends_are_refused(void **state)
{
    char bytes[4] = "a?b";

    (void)state;
    for (int c = 1; c < 0x20; c++) {
        bytes[1] = (char)c;
        assert_false(text(bytes));
    }
    assert_false(name_is_text("a\0b", 3));
    assert_false(text("a\x7f"));
    for (int c = 0x80; c < 0xa0; c++) {
        const char c1[3] = {'\xc2', (char)c, '\0'};

        assert_false(text(c1));
    }
    assert_false(text("\xe2\x80\xa8")); /* U+2028 */
    assert_false(text("\xe2\x80\xa9")); /* U+2029 */
    assert_true(text("\xe2\x80\xa7"));
}

/* Of all sequences of 2 and 3 bytes, as many pass as there are characters, and every character's
 * one encoding does: so nothing else passes. */
static size_t encode(uint32_t point, uint8_t *to)
{
    if (point < 0x80)
        return to[0] = (uint8_t)point, 1;
    if (point < 0x800)
        return to[0] = (uint8_t)(0xc0 | point >> 6), to[1] = (uint8_t)(0x80 | (point & 63)), 2;
    to[0] = (uint8_t)(0xe0 | point >> 12);
    to[1] = (uint8_t)(0x80 | (point >> 6 & 63));
    to[2] = (uint8_t)(0x80 | (point & 63));
    return 3;
}

static void exactly_the_encodings_of_characters_pass(void **state)
{
    uint32_t two = 0, three = 0;

    (void)state;
    for (uint32_t bits = 0; bits < 1 << 16; bits++) {
        const char bytes[2] = {(char)(bits >> 8), (char)bits};

        two += (bits >> 8) >= 0x80 && name_is_text(bytes, 2);
    }
    assert_int_equal(two, 0x800 - 0xa0 - 1); /* without U+061C */
    for (uint32_t bits = 0x800000; bits < 1 << 24; bits++) {
        const char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};

        three += (bits >> 16) >= 0xe0 && name_is_text(bytes, 3);
    }
    /* Without surrogates, line separators and what turns round or hides the text beside it. */
    assert_int_equal(three, 0x10000 - 0x800 - 0x800 - (1 + 1 + 2 + 7 + 16 + 1 + 3));
    for (uint32_t point = 0xa0; point < 0x10000; point++) {
        uint8_t bytes[3];
        size_t n = encode(point, bytes);
        bool refused = (point >= 0xd800 && point < 0xe000) || point == 0x61c || point == 0x180e ||
                       point == 0x200b || point == 0x200e || point == 0x200f ||
                       (point >= 0x2028 && point <= 0x202e) ||
                       (point >= 0x2060 && point <= 0x206f) || point == 0xfeff ||
                       (point >= 0xfff9 && point <= 0xfffb);

        assert_int_equal(name_is_text((const char *)bytes, n), !refused);
    }
}

static void a_run_is_a_folder_below_the_logdir(void **state)
{
    (void)state;
    assert_true(name_is_run("reviews"));
    assert_true(name_is_run("a"));
    assert_true(name_is_run("_9"));
    assert_true(name_is_run("sweep/lr=1e-3+decay/try.2"));
    assert_true(name_is_run("a/b/c/d/e/f/g/h"));
    assert_false(name_is_run(""));
    assert_false(name_is_run("a/b/c/d/e/f/g/h/i"));
    assert_false(name_is_run("."));
    assert_false(name_is_run(".."));
    assert_false(name_is_run("../etc"));
    assert_false(name_is_run("a/../b"));
    assert_false(name_is_run("a/.b"));
    assert_false(name_is_run("-rf"));
    assert_false(name_is_run("/a"));
    assert_false(name_is_run("a/"));
    assert_false(name_is_run("a//b"));
    assert_false(name_is_run("a b"));
    assert_false(name_is_run("a\\b"));
    assert_false(name_is_run("a\n"));
    assert_false(name_is_run("caf\xc3\xa9"));
    assert_false(name_is_run("a\xff"));
}

/* <run>/embmon is where the files of a run are: "a/embmon/state" would be a folder in the place of
 * one of them. */
static void no_run_lies_among_the_files_of_another(void **state)
{
    (void)state;
    assert_false(name_is_run("a/embmon"));
    assert_false(name_is_run("a/embmon/state"));
    assert_false(name_is_run("a/b/embmon/embmon"));
    assert_false(name_is_run("embmon/embmon"));
    assert_true(name_is_run("embmon"));
    assert_true(name_is_run("embmon/a"));
    assert_true(name_is_run("a/embmon-2"));
    assert_true(name_is_run("a/xembmon"));
    assert_true(name_is_run("a/embmo"));
}

static void a_run_has_parts_of_128_bytes_and_512_in_all(void **state)
{
    char name[NAME_RUN_MAX + 2];

    (void)state;
    memset(name, 'a', sizeof name);
    name[NAME_PART_MAX] = '\0';
    assert_true(name_is_run(name));
    name[NAME_PART_MAX] = 'a';
    name[NAME_PART_MAX + 1] = '\0';
    assert_false(name_is_run(name));
    memset(name, 'a', sizeof name);
    for (size_t i = NAME_PART_MAX - 1; i < NAME_RUN_MAX - 1; i += NAME_PART_MAX)
        name[i] = '/';
    name[NAME_RUN_MAX] = '\0';
    assert_true(name_is_run(name));
    name[NAME_RUN_MAX] = 'a';
    name[NAME_RUN_MAX + 1] = '\0';
    assert_false(name_is_run(name));
}

static void a_path_is_what_frameworks_make_of_names(void **state)
{
    char name[NAME_LAYER_MAX + 2];

    (void)state;
    assert_true(name_is_path("inner_model/embedding_1"));
    assert_true(name_is_path("tf.math.add:0"));
    assert_true(name_is_path("my layer"));
    assert_true(name_is_path(".."));
    assert_true(name_is_path("\xe5\xb1\xa4/kernel"));
    assert_false(name_is_path(""));
    assert_false(name_is_path("/"));
    assert_false(name_is_path("/a"));
    assert_false(name_is_path("a/"));
    assert_false(name_is_path("a//b"));
    assert_false(name_is_path("a\tb"));
    assert_false(name_is_path("a\xff"));
    memset(name, 'a', sizeof name);
    name[NAME_LAYER_MAX] = '\0';
    assert_true(name_is_path(name));
    name[NAME_LAYER_MAX] = 'a';
    name[NAME_LAYER_MAX + 1] = '\0';
    assert_false(name_is_path(name));
}

/* "gradient" after U+202E is read as "tneidarg"; two names that differ by U+200B look the same. */
static void what_turns_round_or_hides_text_is_refused(void **state)
{
    static const char *const mischief[] = {"\xe2\x80\xae", "\xe2\x80\xaa",     "\xe2\x81\xa6",
                                           "\xe2\x81\xa9", "\xe2\x80\x8e",     "\xd8\x9c",
                                           "\xe2\x80\x8b", "\xe2\x81\xa0",     "\xef\xbb\xbf",
                                           "\xef\xbf\xb9", "\xf3\xa0\x81\x81", "\xf0\x9d\x85\xb3"};
    char name[16];

    (void)state;
    for (size_t i = 0; i < sizeof mischief / sizeof *mischief; i++) {
        snprintf(name, sizeof name, "a%sb", mischief[i]);
        assert_false(text(name));
        assert_false(name_is_path(name));
        assert_false(name_is_glob(name));
        assert_int_equal(name_character(mischief[i]), 0);
    }
}

/* A word may need them, a name that looks like another is none. */
static void what_nobody_sees_is_text_and_no_name(void **state)
{
    static const char *const unseen[] = {"\xe2\x80\x8c", "\xe2\x80\x8d", "\xc2\xad",
                                         "\xef\xb8\x8f", "\xe3\x85\xa4", "\xf3\xa0\x84\x80"};
    char name[16];

    (void)state;
    assert_true(text("\xd9\x85\xdb\x8c\xe2\x80\x8c\xd8\xae\xd9\x88\xd8\xa7\xd9\x87\xd9\x85"));
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++) {
        snprintf(name, sizeof name, "a%sb", unseen[i]);
        assert_true(text(name));
        assert_false(name_is_path(name));
    }
}

static void a_detector_is_a_path_of_31_bytes(void **state)
{
    (void)state;
    assert_true(name_is_detector("gradient_vanishing"));
    assert_true(name_is_detector("0123456789012345678901234567890"));
    assert_false(name_is_detector("01234567890123456789012345678901"));
    assert_false(name_is_detector(""));
    assert_false(name_is_detector("a//b"));
    assert_false(name_is_detector("a\n"));
}

static void a_key_is_a_word_of_small_letters(void **state)
{
    (void)state;
    assert_true(name_is_key("update_ratio"));
    assert_true(name_is_key("a"));
    assert_true(name_is_key("z9_"));
    assert_true(name_is_key("abcdefghijabcdefghijabcdefghija"));
    assert_false(name_is_key("abcdefghijabcdefghijabcdefghijab"));
    assert_false(name_is_key(""));
    assert_false(name_is_key("9a"));
    assert_false(name_is_key("_a"));
    assert_false(name_is_key("aA"));
    assert_false(name_is_key("a-b"));
    assert_false(name_is_key("a\xc3\xa9"));
}

static void a_pattern_is_any_text_of_255_bytes(void **state)
{
    char name[GLOB_MAX + 2];

    (void)state;
    assert_true(name_is_glob("*"));
    assert_true(name_is_glob("/a//\xe5\xb1\xa4?/"));
    assert_false(name_is_glob(""));
    assert_false(name_is_glob("a\t"));
    assert_false(name_is_glob("\xff"));
    memset(name, '*', sizeof name);
    name[GLOB_MAX] = '\0';
    assert_true(name_is_glob(name));
    name[GLOB_MAX] = '*';
    name[GLOB_MAX + 1] = '\0';
    assert_false(name_is_glob(name));
}

static void a_character_has_its_bytes_or_is_none(void **state)
{
    (void)state;
    assert_int_equal(name_character("ab"), 1);
    assert_int_equal(name_character("\xc3\xa9x"), 2);
    assert_int_equal(name_character("\xe5\xb1\xa4"), 3);
    assert_int_equal(name_character("\xf0\x9d\x84\x9e"), 4);
    assert_int_equal(name_character(""), 0);
    assert_int_equal(name_character("\n"), 0);
    assert_int_equal(name_character("\xc3"), 0);
    assert_int_equal(name_character("\xf0\x9d\x84"), 0);
    assert_int_equal(name_character("\xc2\x85"), 0); /* a C1 control */
    assert_int_equal(name_character("\xff"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_utf8),
        cmocka_unit_test(what_is_not_utf8_is_refused),
        cmocka_unit_test(control_characters_and_line_ends_are_refused),
        cmocka_unit_test(exactly_the_encodings_of_characters_pass),
        cmocka_unit_test(a_run_is_a_folder_below_the_logdir),
        cmocka_unit_test(no_run_lies_among_the_files_of_another),
        cmocka_unit_test(a_run_has_parts_of_128_bytes_and_512_in_all),
        cmocka_unit_test(a_path_is_what_frameworks_make_of_names),
        cmocka_unit_test(what_turns_round_or_hides_text_is_refused),
        cmocka_unit_test(what_nobody_sees_is_text_and_no_name),
        cmocka_unit_test(a_detector_is_a_path_of_31_bytes),
        cmocka_unit_test(a_key_is_a_word_of_small_letters),
        cmocka_unit_test(a_pattern_is_any_text_of_255_bytes),
        cmocka_unit_test(a_character_has_its_bytes_or_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
