/* embmonctl's way to a daemon: one question, its answer. */
#ifndef EMBMON_DAEMON_CTL_ASK_H
#define EMBMON_DAEMON_CTL_ASK_H

#include <stddef.h>
#include <stdint.h>

#include "proto/address.h"
#include "proto/message.h"
#include "proto/token.h"

enum { CTL_TIMEOUT_MS = 2000, CTL_PROBLEM_MAX = ADDRESS_LIST_MAX + 400 };

struct ctl_answer {
    uint32_t status; /* of the Reply: 0, or an exit status; the text is then one sentence */
    char *text;      /* owned, NUL-terminated */
    size_t length;
};

/* Returns 0 and the answer, or EX_UNAVAILABLE and one line in problem when nobody answers at this
 * address: a daemon that is stopped, or busy, for longer than CTL_TIMEOUT_MS counts as nobody.
 * token: what is proven, and has to be, over tcp; NULL or empty: none. */
int ctl_ask(const struct address *address, const struct token *token, const struct msg_query *query,
            struct ctl_answer *answer, char problem[CTL_PROBLEM_MAX]);

/* Asks at each of at most ADDRESS_DEFAULTS_MAX addresses until one answers, which is then *by. The
 * problem, when none does, is a whole sentence that names them all. */
int ctl_ask_any(const struct address *addresses, size_t count, const struct token *token,
                const struct msg_query *query, struct ctl_answer *answer, size_t *by,
                char problem[CTL_PROBLEM_MAX]);

void ctl_answer_free(struct ctl_answer *answer);

#endif
