#include "client/outage.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One write: lines of several ranks stay whole, and no lock of the trainer's streams is taken. */
__attribute__((format(printf, 2, 3))) static void say(struct outage *outage, const char *format,
                                                      ...)
{
    char line[1024];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if (outage->log) {
        outage->log(outage->context, line);
        return;
    }
    length = (int)strlen(line);
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* there is nobody to tell */
}

void outage_begins(struct outage *outage, const char *where, const char *reason)
{
    if (outage->said)
        return;
    outage->said = true;
    if (outage->known)
        say(outage,
            "embmon: lost the daemon at %s: %s; posts are kept, oldest dropped when 32 MiB "
            "wait",
            where, reason);
    else if (*where == '\0')
        say(outage, "embmon: no daemon: %s", reason);
    else
        say(outage,
            "embmon: no daemon at %s: %s (start embmond beside training, or set "
            "EMBMON_ADDRESS to where it is); posts are kept, oldest dropped when 32 MiB wait",
            where, reason);
}

void outage_ends(struct outage *outage, const char *where, const char *run, uint64_t dropped)
{
    if (outage->said && dropped > 0)
        say(outage, "embmon: the daemon at %s is there; run %s; %llu posts were dropped", where,
            run, (unsigned long long)dropped);
    else if (outage->said)
        say(outage, "embmon: the daemon at %s is there; run %s; nothing was dropped", where, run);
    outage->said = false;
    outage->known = true;
}

void outage_refused(struct outage *outage, const char *where, const char *detail)
{
    if (outage->said)
        return;
    outage->said = true;
    say(outage, "embmon: the daemon at %s refuses this client: %s", where, detail);
}
