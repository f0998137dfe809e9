#include "tests/unit/fake_tensorflow.h"

#include <dlfcn.h>

#include "embmon/embmon.h"

static void all_functions_or_none(void **state)
{
    struct tensorflow_api api = {0};
    void *other = dlopen("libm.so.6", RTLD_NOW);

    (void)state;
    assert_non_null(other);
    assert_false(tensorflow_api_find(&api, other));
    assert_true(tensorflow_api_find(&api, dlopen(NULL, RTLD_NOW)));
    assert_int_equal(api.NumInputs(&(TF_OpKernelContext){.count = 3}), 3);
    assert_ptr_equal(api.DeleteTensor, TF_DeleteTensor);
    dlclose(other);
}

/* By the numbers of tensorflow/c/tf_datatype.h; what is no number of ours is 0. */
static void dtypes(void **state)
{
    const int known[][2] = {{1, EMBMON_F32}, {2, EMBMON_F64}, {3, EMBMON_I32},   {5, EMBMON_I16},
                            {6, EMBMON_I8},  {9, EMBMON_I64}, {14, EMBMON_BF16}, {19, EMBMON_F16}};
    int found = 0;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(tensorflow_dtype(known[i][0]), known[i][1]);
    for (int type = -1; type < 200; type++)
        found += tensorflow_dtype(type) != 0;
    assert_int_equal(found, sizeof known / sizeof known[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_functions_or_none),
        cmocka_unit_test(dtypes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
