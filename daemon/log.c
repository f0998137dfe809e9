#include "daemon/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/alert/change.h"
#include "daemon/json.h"
#include "embmon/embmon.h"
#include "proto/name.h"

enum {
    MESSAGE_MAX = 1024,       /* bytes of a formatted message; longer ones are cut */
    LINE_MAX_BYTES = 4 << 10, /* of a text line, its message escaped */
    SELDOM_MS = 60 * 1000,
    STALL_MS = 100, /* how long a line that is begun may wait for its reader */
};

/* Set by main(). */
static struct {
    enum log_level level;
    bool json;
    bool broken; /* the last line was cut off: its reader did not read */
} settings = {LOG_LEVEL_INFO, false, false};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_configure(enum log_level level, bool json)
{
    settings.level = level;
    settings.json = json;
}

/* Copies text to `to`, what a terminal could act on written as \xNN; cut to fit, terminated. */
static void escape(char *to, size_t size, const char *text)
{
    size_t used = 0;
    while (*text && size - used > 4) {
        size_t n = name_character(text);
        if (n == 0) {
            used += (size_t)snprintf(to + used, size - used, "\\x%02x", (unsigned char)*text++);
            continue;
        }
        memcpy(to + used, text, n);
        used += n;
        text += n;
    }
    to[used] = '\0';
}

/* Writes to stderr, which may be a pipe that nobody reads: then the line is lost, never the
 * daemon's time. A pipe that polls writable takes PIPE_BUF bytes at once. */
static void write_bytes(const char *data, size_t n)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    int wait_ms = 0;
    while (n > 0) {
        if (poll(&out, 1, wait_ms) <= 0 || !(out.revents & POLLOUT)) {
            settings.broken = wait_ms > 0;
            return;
        }
        ssize_t written = write(STDERR_FILENO, data, n < PIPE_BUF ? n : PIPE_BUF);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (written > 0) {
            data += written;
            n -= (size_t)written;
        }
        wait_ms = STALL_MS;
    }
}

static void write_line(const char *line)
{
    int saved = errno;
    char *whole = NULL;
    int n = asprintf(&whole, "%s%s\n", settings.broken ? "\n" : "", line);
    settings.broken = false;
    if (n > 0) {
        write_bytes(whole, (size_t)n);
        free(whole);
    }
    errno = saved;
}

static void write_json(json_t *object)
{
    char *line = object ? json_line(object) : NULL;
    if (line)
        write_line(line);
    free(line);
    json_decref(object);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)(t.tv_nsec / 1000000) / 1e3;
}

static void log_message(enum log_level level, const char *format, va_list arguments)
{
    char message[MESSAGE_MAX], escaped[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 32];

    if (level > settings.level)
        return;
    vsnprintf(message, sizeof message, format, arguments);
    escape(escaped, sizeof escaped, message);
    if (settings.json) {
        write_json(json_pack("{s:o, s:s, s:o}", "time", json_from_double(now()), "level",
                             level_names[level], "message", json_string(escaped)));
        return;
    }
    snprintf(line, sizeof line, "embmond: %s: %s", level_names[level], escaped);
    write_line(line);
}

#define DEFINE_LOG(name, level)                                                                    \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        log_message(level, format, arguments);                                                     \
        va_end(arguments);                                                                         \
    }
DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warn, LOG_LEVEL_WARN)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)

void log_seldom(struct log_seldom *seldom, uint64_t now_ms, const char *what)
{
    seldom->count++;
    if (now_ms < seldom->next_ms)
        return;
    seldom->next_ms = now_ms + SELDOM_MS;
    log_warn("%s (%llu so far)", what, (unsigned long long)seldom->count);
}

static enum log_level level_of(const struct alert_change *c)
{
    return c->state == EMBMON_FIRING ? LOG_LEVEL_WARN : LOG_LEVEL_INFO;
}

bool log_shows_alert(const struct alert_change *c)
{
    return level_of(c) <= settings.level;
}

void log_alert(const struct alert_change *c)
{
    enum log_level level = level_of(c);
    char text[LINE_MAX_BYTES], hint[LINE_MAX_BYTES], line[4 * LINE_MAX_BYTES];
    char where[LINE_MAX_BYTES], escaped[LINE_MAX_BYTES];

    if (!log_shows_alert(c))
        return;
    if (settings.json) {
        write_json(json_alert(c));
        return;
    }
    snprintf(where, sizeof where, "[%s] %s %s: %s%s%s%s%s, step %llu%s%s: ", c->run,
             severity_name(c->severity), state_name(c->state), c->detector, *c->layer ? " " : "",
             c->layer, *c->variable ? "/" : "", c->variable, (unsigned long long)c->step,
             c->phase == EMBMON_TRAIN ? "" : " of ",
             c->phase == EMBMON_TRAIN ? "" : phase_name(c->phase));
    escape(escaped, sizeof escaped, where);
    escape(text, sizeof text, c->summary);
    escape(hint, sizeof hint, c->hint);
    /* What is over needs no advice. */
    bool advise = *hint && c->state != EMBMON_RESOLVED;
    snprintf(line, sizeof line, "embmond: %s: %s%s%s%s", level_names[level], escaped, text,
             advise ? "\n    " : "", advise ? hint : "");
    write_line(line);
}
