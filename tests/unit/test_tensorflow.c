#include "tests/unit/fake_tensorflow.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "embmon/embmon.h"

/* Each case in a process of its own: what is registered is so for the process. */
static int in_a_child(int (*check)(void))
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(check());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int once(void)
{
    void *self = dlopen(NULL, RTLD_NOW);

    if (embmon_tensorflow(self) != 0 || embmon_tensorflow(self) != 0 || fake_tf.count != 8)
        return 1;
    for (size_t i = 0; i < fake_tf.count; i++) {
        const TF_OpDefinitionBuilder *d = &fake_tf.definitions[i];

        if (d->outputs != (strcmp(d->name, "EmbmonTouched") == 0))
            return 4;
        /* Not stateful, it would be left out where it has no output. */
        if (!d->stateful || !d->shaped || d->inputs < 1 || d->attributes < 2 ||
            strncmp(d->name, "Embmon", 6) != 0 || strcmp(fake_tf.kernels[i].device, "CPU") != 0)
            return 2;
    }
    return fake_tf.statuses == 0 ? 0 : 3;
}

static int taken(void)
{
    void *self = dlopen(NULL, RTLD_NOW);

    fake_tf.is_full = true;
    if (embmon_tensorflow(self) != EMBMON_EEXISTS)
        return 1;
    fake_tf.is_full = false;
    return embmon_tensorflow(self) == EMBMON_EEXISTS && fake_tf.count == 0 ? 0 : 2;
}

static int lacking(void)
{
    void *other = dlopen("libm.so.6", RTLD_NOW);

    if (!other || embmon_tensorflow(other) != EMBMON_EUNKNOWN)
        return 1;
    return embmon_tensorflow(dlopen(NULL, RTLD_NOW)) == EMBMON_EUNKNOWN ? 0 : 2;
}

static void they_are_made_known_once(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(once), 0);
}

static void another_copy_was_there_first(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(taken), 0);
}

static void not_the_library_it_should_be(void **state)
{
    (void)state;
    assert_int_equal(in_a_child(lacking), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_made_known_once),
        cmocka_unit_test(another_copy_was_there_first),
        cmocka_unit_test(not_the_library_it_should_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
