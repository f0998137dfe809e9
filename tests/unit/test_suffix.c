#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/suffix.h"

/* The next free name; false: there is none. */
static bool suffix_free(const char *wanted, bool (*taken)(void *context, const char *name),
                        void *context, char name[NAME_RUN_MAX + 1])
{
    return suffix_name(wanted, suffix_last(wanted, taken, context) + 1, name);
}

/* Of "a" these are taken: 1 ... last but one, the hole. */
struct names {
    unsigned last, hole, asked;
};

static bool is_taken(void *context, const char *name)
{
    struct names *names = context;
    const char *dash = strrchr(name, '-');
    unsigned number = dash ? (unsigned)atoi(dash + 1) : 1;

    names->asked++;
    return number <= names->last && number != names->hole;
}

static unsigned next_of(struct names *names)
{
    char name[NAME_RUN_MAX + 1], expected[32];
    unsigned number = names->last + 1;

    assert_true(suffix_free("a", is_taken, names, name));
    (void)snprintf(expected, sizeof expected, "a-%u", number);
    assert_string_equal(name, number == 1 ? "a" : expected);
    return names->asked;
}

static void the_next_number_is_taken(void **state)
{
    (void)state;
    for (unsigned last = 0; last < 3000; last++)
        (void)next_of(&(struct names){.last = last});
}

static void ten_thousand_of_a_name_are_few_looks(void **state)
{
    unsigned most = 0;

    (void)state;
    for (unsigned last = 0; last <= 10000; last++) {
        unsigned asked = next_of(&(struct names){.last = last});

        most = asked > most ? asked : most;
    }
    assert_in_range(most, 2, 2 * 15);
    assert_int_equal(next_of(&(struct names){.last = 0}), 1);
}

/* Whatever was taken away in between: what is given is free. */
static void a_hole_is_no_reason_to_write_over_another(void **state)
{
    char name[NAME_RUN_MAX + 1];

    (void)state;
    for (unsigned hole = 1; hole <= 100; hole++) {
        struct names names = {.last = 100, .hole = hole};

        assert_true(suffix_free("a", is_taken, &names, name));
        assert_false(is_taken(&names, name));
    }
}

static void where_all_are_taken_there_is_none(void **state)
{
    char name[NAME_RUN_MAX + 1], wanted[NAME_RUN_MAX + 1];
    struct names names = {.last = SUFFIX_MAX};

    (void)state;
    assert_false(suffix_free("a", is_taken, &names, name));
    assert_true(names.asked < 45);
    names.last = SUFFIX_MAX - 1;
    assert_true(suffix_free("a", is_taken, &names, name));
    assert_string_equal(name, "a-999999");
    /* One for which only -2 ... -9 are short enough. */
    memset(wanted, 'b', sizeof wanted);
    for (size_t i = 100; i < NAME_RUN_MAX - 2; i += 100)
        wanted[i] = '/';
    wanted[NAME_RUN_MAX - 2] = '\0';
    names.last = 8;
    assert_true(suffix_free(wanted, is_taken, &names, name));
    assert_string_equal(name + NAME_RUN_MAX - 2, "-9");
    names.last = 9;
    assert_false(suffix_free(wanted, is_taken, &names, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_number_is_taken),
        cmocka_unit_test(ten_thousand_of_a_name_are_few_looks),
        cmocka_unit_test(a_hole_is_no_reason_to_write_over_another),
        cmocka_unit_test(where_all_are_taken_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
