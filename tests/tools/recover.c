/* What the next embmond makes of a log folder that was left behind: each line of stdin is one,
 * whose run `load` is opened and closed; answered with what it keeps of its first rank, and -1
 * where it knows none or cannot open it. For tests of what a power failure leaves. */
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/run_state.h"

int main(void)
{
    struct run_options options = {.name = "load", .wanted = "load", .key = "", .world_size = 1};
    const struct moment now = {.ms = 1000000, .wall = 2e9};
    char line[4096];

    log_configure(LOG_LEVEL_ERROR, false);
    while (fgets(line, sizeof line, stdin)) {
        const char *problem;
        struct run *run;
        long long kept = -1;

        line[strcspn(line, "\n")] = '\0';
        options.logdir = line;
        run = run_open(&options, now, &problem);
        if (run && run->member_count > 0)
            kept = (long long)run_member_kept(run->members[0]);
        run_close(run, now);
        printf("%lld\n", kept);
        fflush(stdout);
    }
    return 0;
}
