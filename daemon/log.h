/* The log: one line to stderr per message, as text or as JSON. The severity is in the name of the
 * function; nothing here ends the process. Format and level are set by main(), before anything
 * else runs. A peer's text is never a format string; control characters are escaped. */
#ifndef EMBMON_DAEMON_LOG_H
#define EMBMON_DAEMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 0, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* quiet: errors and warnings only; verbose: debug lines too. */
void log_configure(enum log_level level, bool json);

__attribute__((format(printf, 1, 2))) void log_error(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_warn(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_info(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_debug(const char *format, ...);

/* For what a peer can cause as often as it likes: a warning at most once a minute, with the count
 * so far. Zeroed at first; now_ms: monotonic milliseconds. */
struct log_seldom {
    uint64_t next_ms, count;
};
void log_seldom(struct log_seldom *seldom, uint64_t now_ms, const char *what);

struct alert_change;

/* An alert's change: as text two lines (what, and the hint), as JSON the alert's own object. False:
 * the log's level leaves it out. */
bool log_shows_alert(const struct alert_change *change);
void log_alert(const struct alert_change *change);

#endif
