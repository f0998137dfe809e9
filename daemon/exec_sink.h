/* Programs that are told of alerts: started without a shell, the alert on their stdin. Part of
 * the rim that knows libuv.
 *
 * A program gets its arguments as configured, its own session and process group, default signals,
 * the folder /, three open files and next to no environment. Its output is read to be shown where
 * it fails, its time is limited. */
#ifndef EMBMON_DAEMON_EXEC_SINK_H
#define EMBMON_DAEMON_EXEC_SINK_H

#include <stdbool.h>

#include "daemon/alert/sink_options.h"
#include "daemon/delivery.h"

struct uv_loop_s;
struct exec_sinks; /* opaque: what all have in common */
struct exec_sink;  /* opaque: one sink's */

enum {
    EXEC_PROBLEM_MAX = 256,
    EXEC_AT_ONCE = 2,           /* programs of one sink */
    EXEC_FILES = 3,             /* descriptors of one that starts; one while it runs */
    EXEC_SHOWN_MAX = 512,       /* bytes of a program's output that are kept */
    EXEC_OUTPUT_MAX = 64 << 10, /* one that writes more is cut off */
    EXEC_KILL_MS = 2000,        /* from SIGTERM to SIGKILL */
};

/* Kinds of errors, for struct delivery. */
enum { EXEC_STATUS = 1, EXEC_SIGNAL = 2, EXEC_TIMEOUT = 4, EXEC_START = 8 };

struct exec_sinks *exec_sinks_open(struct uv_loop_s *loop); /* NULL when out of memory */
/* After the last exec_sink_free(): kills what still runs. It is gone once the loop has run. NULL is
 * fine. */
void exec_sinks_close(struct exec_sinks *all);

/* False, and problem, where the program is not there or may not be executed. */
bool exec_check(const struct sink_options *options, char problem[EXEC_PROBLEM_MAX]);

/* options: borrowed for the sink's life. NULL when out of memory. */
struct exec_sink *exec_sink_new(struct exec_sinks *all, const struct sink_options *options,
                                delivery_done *done, void *context);
/* Programs that run go on to their end, of which nobody is told. NULL is fine. */
void exec_sink_free(struct exec_sink *sink);

/* Starts the program with the text on its stdin, and in EMBMON_WAITING how many more alerts wait,
 * unless none does; done() is called once. Status 0: delivered. 75
 * (EX_TEMPFAIL), or not started: to be tried again. Else it had its chance: refused. */
void exec_sink_run(struct exec_sink *sink, const char *text, size_t waiting, uint32_t ticket);

#endif
