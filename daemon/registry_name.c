/* What a new run is called, or which one that is not loaded its session belongs to. */
#include <string.h>

#include "daemon/registry_state.h"
#include "daemon/suffix.h"

/* Names that are looked into for the session or its launch: each is a file that is read. Who has
 * been told the name of his run needs none of that. */
enum { LOOK_BACK = 64 };

struct search {
    const struct registry *registry;
    const struct msg_hello *hello;
    struct moment now;
};

/* CLAIM_OTHERS where it is loaded: who belongs to it has been asked already. */
static enum run_claim claim_of(const struct search *search, const char *name)
{
    if (registry_find(search->registry, name))
        return CLAIM_OTHERS;
    return run_claim(search->registry->logdir, name, search->hello, search->now);
}

static bool is_taken(void *context, const char *name)
{
    return claim_of(context, name) != CLAIM_FREE;
}

enum run_claim registry_name(struct registry *registry, const char *wanted,
                             const struct msg_hello *hello, struct moment now,
                             char name[NAME_RUN_MAX + 1])
{
    struct search search = {registry, hello, now};
    unsigned last = suffix_last(wanted, is_taken, &search);
    enum run_claim found = CLAIM_OTHERS;

    if (suffix_name(wanted, last + 1, name))
        found = CLAIM_FREE;
    for (unsigned i = last; i > 0 && i + LOOK_BACK > last && found != CLAIM_SESSION; i--) {
        char each[NAME_RUN_MAX + 1];
        enum run_claim claim =
            suffix_name(wanted, i, each) ? claim_of(&search, each) : CLAIM_OTHERS;

        if (claim == CLAIM_SESSION || (claim == CLAIM_LAUNCH && found != CLAIM_LAUNCH)) {
            memcpy(name, each, sizeof each);
            found = claim;
        }
    }
    return found;
}
