#include "client/outage.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Is there a line left to say? */
static bool may_say(struct outage *outage, int64_t now_ms)
{
    int64_t paid = outage->lines_ms > now_ms ? outage->lines_ms : now_ms;

    if (paid - now_ms > (OUTAGE_LINES - 1) * (int64_t)OUTAGE_LINE_MS) {
        outage->left_out++;
        return false;
    }
    outage->lines_ms = paid + OUTAGE_LINE_MS;
    return true;
}

/* One write: lines of several ranks stay whole, and no lock of the trainer's streams is taken. */
__attribute__((format(printf, 3, 4))) static void say(struct outage *outage, int64_t now_ms,
                                                      const char *format, ...)
{
    char line[1024];
    va_list arguments;
    int length;

    if (!may_say(outage, now_ms))
        return;
    va_start(arguments, format);
    length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    length = (int)strlen(line);
    if (outage->left_out > 0)
        snprintf(line + length, sizeof line - 1 - (size_t)length,
                 " (%llu lines like this one were left out)", (unsigned long long)outage->left_out);
    outage->left_out = 0;
    if (outage->log) {
        outage->log(outage->context, line);
        return;
    }
    length = (int)strlen(line);
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* there is nobody to tell */
}

void outage_begins(struct outage *outage, int64_t now_ms, const char *where, const char *reason)
{
    if (outage->said)
        return;
    outage->said = true;
    if (outage->known)
        say(outage, now_ms,
            "embmon: lost the daemon at %s: %s; posts are kept, oldest dropped when 32 MiB "
            "wait",
            where, reason);
    else if (*where == '\0')
        say(outage, now_ms, "embmon: no daemon: %s", reason);
    else
        say(outage, now_ms,
            "embmon: no daemon at %s: %s (start embmond beside training, or set "
            "EMBMON_ADDRESS to where it is); posts are kept, oldest dropped when 32 MiB wait",
            where, reason);
}

void outage_ends(struct outage *outage, int64_t now_ms, const char *where, const char *run,
                 uint64_t dropped)
{
    if (outage->said && dropped > 0)
        say(outage, now_ms, "embmon: the daemon at %s is there; run %s; %llu posts were dropped",
            where, run, (unsigned long long)dropped);
    else if (outage->said)
        say(outage, now_ms, "embmon: the daemon at %s is there; run %s; nothing was dropped", where,
            run);
    outage->said = false;
    outage->known = true;
}

void outage_refused(struct outage *outage, int64_t now_ms, const char *where, const char *detail)
{
    if (outage->said)
        return;
    outage->said = true;
    say(outage, now_ms, "embmon: the daemon at %s refuses this client: %s", where, detail);
}
