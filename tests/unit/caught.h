/* What goes to stderr, for a test: what a pipe takes of it since catch_stderr(). */
#ifndef EMBMON_TESTS_UNIT_CAUGHT_H
#define EMBMON_TESTS_UNIT_CAUGHT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

enum { CAUGHT_USUAL = 64 << 10, CAUGHT_MOST = 1 << 20 }; /* bytes of a pipe */

static struct {
    int saved, reader;
    char text[CAUGHT_MOST + 1];
} caught_stderr;

static inline void catch_stderr(int room)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(ends[1], F_SETPIPE_SZ, room);
    caught_stderr.saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    caught_stderr.reader = ends[0];
}

static inline const char *caught(void)
{
    size_t length = 0;
    ssize_t n;

    dup2(caught_stderr.saved, STDERR_FILENO);
    close(caught_stderr.saved);
    while ((n = read(caught_stderr.reader, caught_stderr.text + length,
                     sizeof caught_stderr.text - 1 - length)) > 0)
        length += (size_t)n;
    close(caught_stderr.reader);
    caught_stderr.text[length] = '\0';
    return caught_stderr.text;
}

#endif
