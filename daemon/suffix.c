#include "daemon/suffix.h"

#include <stdio.h>

bool suffix_name(const char *wanted, unsigned suffix, char name[NAME_RUN_MAX + 1])
{
    int n = suffix == 1 ? snprintf(name, NAME_RUN_MAX + 1, "%s", wanted)
                        : snprintf(name, NAME_RUN_MAX + 1, "%s-%u", wanted, suffix);

    return suffix > 0 && suffix <= SUFFIX_MAX && n <= NAME_RUN_MAX && name_is_run(name);
}

/* Steps that double until one is behind those that are taken, and then halves between that and the
 * last that is. */
unsigned suffix_last(const char *wanted, bool (*taken)(void *context, const char *name),
                     void *context)
{
    unsigned low = 0, high = 1; /* low is taken, or 0; high is not, once the first loop is over */
    char name[NAME_RUN_MAX + 1];

    while (suffix_name(wanted, high, name) && taken(context, name)) {
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;

        if (suffix_name(wanted, middle, name) && taken(context, name))
            low = middle;
        else
            high = middle;
    }
    return low;
}
