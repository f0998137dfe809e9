#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "daemon/tensorboard/tag_table.h"

static void a_tag_is_made_once_and_found_again(void **state)
{
    (void)state;
    struct tag_table *tags = tag_table_new();
    struct tag *tag = tag_table_need(tags, "loss/all", 4);

    assert_non_null(tag);
    assert_string_equal(tag->name, "loss");
    assert_int_equal(tag->last_step, -1);
    assert_false(tag->described);
    assert_ptr_equal(tag_table_need(tags, "loss", 4), tag);
    assert_ptr_equal(tag_table_find(tags, "loss", 4), tag);
    assert_null(tag_table_find(tags, "los", 3));
    tag_table_free(tags);
}

static void names_that_a_reader_chokes_on_are_refused(void **state)
{
    (void)state;
    struct tag_table *tags = tag_table_new();
    char name[TAG_BYTES_MAX + 1];

    memset(name, 'a', sizeof name);
    assert_null(tag_table_need(tags, "", 0));
    assert_null(tag_table_need(tags, "a\xff\xfe", 3));
    assert_null(tag_table_need(tags, "a\0b", 3));
    assert_null(tag_table_need(tags, "a\nb", 3));
    assert_null(tag_table_need(tags, name, sizeof name));
    assert_non_null(tag_table_need(tags, name, sizeof name - 1));
    assert_non_null(tag_table_need(tags, "tf.math.add:0 \xc3\xa4", 16));
    tag_table_free(tags);
}

/* As of a run of 1,600 layers that are called alike. A table whose chains get long takes more and
 * more memory to make them short. */
static void tags_that_look_alike_take_no_more(void **state)
{
    static const char *const kinds[] = {"gradients",    "gradients_log10",   "gradient_norm",
                                        "gradient_rms", "gradient_norm_low", "gradient_norm_high",
                                        "update_ratio", "nonfinite"};
    const size_t count = sizeof kinds / sizeof kinds[0] * 8 * 200;
    struct tag_table *tags = tag_table_new();
    size_t start = mallinfo2().uordblks;
    char name[64];

    (void)state;
    for (int thread = 0; thread < 8; thread++)
        for (int layer = 0; layer < 200; layer++)
            for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
                snprintf(name, sizeof name, "%s/thread%d/layer%d", kinds[k], thread, layer);
                assert_non_null(tag_table_need(tags, name, strlen(name)));
            }
    assert_in_range(mallinfo2().uordblks - start + mallinfo2().hblkhd, 0, count * 220);
    tag_table_free(tags);
}

static void the_table_has_a_ceiling(void **state)
{
    (void)state;
    struct tag_table *tags = tag_table_new();
    char name[32];

    for (int i = 0; i < TAGS_MAX; i++) {
        snprintf(name, sizeof name, "tag/%d", i);
        assert_non_null(tag_table_need(tags, name, strlen(name)));
    }
    assert_null(tag_table_need(tags, "one more", 8));
    assert_non_null(tag_table_need(tags, "tag/7", 5));
    tag_table_free(tags);
}

#ifndef __SANITIZE_ADDRESS__ /* it counts otherwise */
static void a_tag_takes_what_is_said_and_its_name(void **state)
{
    enum { MANY = 20000, NAME = 40 };
    struct tag_table *tags = tag_table_new();
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, bytes;
    char name[NAME + 1];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "gradient_norm/model/block/layer_%08d", i);
        assert_int_equal(strlen(name), NAME);
        assert_non_null(tag_table_need(tags, name, NAME));
    }
    bytes = (mallinfo2().uordblks + mallinfo2().hblkhd - before) / MANY;
    print_message("%zu bytes a tag with a name of %d\n", bytes, NAME);
    assert_in_range(bytes, (TAG_ENTRY_BYTES + NAME) * 2 / 3, TAG_ENTRY_BYTES + NAME);
    tag_table_free(tags);
}
#endif

struct seen {
    int count;
    int64_t steps;
};

static void note(void *context, const char *tag, int64_t last_step)
{
    struct seen *seen = context;

    assert_int_equal(tag[0], seen->count == 0 ? 'z' : 'a');
    seen->count++;
    seen->steps += last_step;
}

static void tags_with_a_value_are_visited_in_order(void **state)
{
    (void)state;
    struct tag_table *tags = tag_table_new();
    struct seen seen = {0, 0};

    tag_table_need(tags, "z", 1)->last_step = 40;
    tag_table_need(tags, "never", 5);
    tag_table_need(tags, "a", 1)->last_step = 0;
    tag_table_each(tags, note, &seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.steps, 40);
    tag_table_free(tags);
    tag_table_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_made_once_and_found_again),
        cmocka_unit_test(names_that_a_reader_chokes_on_are_refused),
        cmocka_unit_test(tags_that_look_alike_take_no_more),
        cmocka_unit_test(the_table_has_a_ceiling),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(a_tag_takes_what_is_said_and_its_name),
#endif
        cmocka_unit_test(tags_with_a_value_are_visited_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
