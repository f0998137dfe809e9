#include "daemon/ctl_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/ctl_ask.h"
#include "daemon/ctl_changes.h"
#include "daemon/ctl_screen.h"
#include "daemon/ctl_terminal.h"
#include "daemon/ctl_watched.h"
#include "daemon/json.h"
#include "daemon/moment.h"

enum { REFRESH_MS = 1000, PROBLEM_MAX = CTL_PROBLEM_MAX + 100 };

struct watching {
    const struct ctl_watch *options;
    const struct address *at;  /* where the daemon answered; NULL: nowhere yet */
    struct watched last, now;  /* the answer before, and the newest */
    struct terminal *terminal; /* NULL: lines */
    bool waiting, told;        /* there is no run yet; that was said where lines are written */
    char problem[PROBLEM_MAX]; /* why it ends, said when the terminal is given back */
};

/* Each of the following returns -1 to go on, or an exit status. */

static int end_with(struct watching *w, int status, const char *problem)
{
    snprintf(w->problem, sizeof w->problem, "%s", problem);
    return status;
}

/* ---- asking */

static int read_answer(struct watching *w, const struct ctl_answer *answer)
{
    json_t *object = answer->text ? json_loadb(answer->text, answer->length, 0, NULL) : NULL;

    if (!json_is_object(object)) {
        json_decref(object);
        return end_with(w, EX_UNAVAILABLE, "the daemon's answer is not JSON");
    }
    watched_free(&w->last);
    w->last = w->now;
    if (watched_read(&w->now, object))
        return -1;
    return end_with(w, EX_OSERR, "out of memory");
}

static int take_answer(struct watching *w, const struct ctl_answer *answer)
{
    w->waiting = answer->status == EX_TEMPFAIL && !w->now.object;
    if (w->waiting)
        return -1;
    if (answer->status == EX_TEMPFAIL) /* the run it watched is unloaded, and there is no other */
        return end_with(w, EX_USAGE, answer->text);
    return answer->status ? end_with(w, (int)answer->status, answer->text) : read_answer(w, answer);
}

static int ask(struct watching *w)
{
    /* The run that was chosen stays the one that is watched. */
    struct msg_query query = {.name = "watch", .run = w->now.object ? w->now.run : w->options->run};
    char problem[CTL_PROBLEM_MAX] = "";
    struct ctl_answer answer;
    int status;

    if (w->at) {
        if (ctl_ask(w->at, w->options->token, &query, &answer, problem) != 0) {
            snprintf(w->problem, sizeof w->problem, "embmond is gone: %s", problem);
            return EX_UNAVAILABLE;
        }
    } else {
        size_t by;
        status = ctl_ask_any(w->options->addresses, w->options->address_count, w->options->token,
                             &query, &answer, &by, problem);
        if (status != 0)
            return end_with(w, status, problem);
        w->at = &w->options->addresses[by];
    }
    status = take_answer(w, &answer);
    ctl_answer_free(&answer);
    return status;
}

/* ---- showing */

static int show_screen(struct watching *w)
{
    struct screen_look look = terminal_look(w->terminal);
    char *text = NULL, where[ADDRESS_TEXT_MAX];
    size_t length;
    FILE *out = open_memstream(&text, &length);
    bool fine = out != NULL;

    if (out && w->waiting)
        screen_draw_waiting(out, address_text(w->at, where), &look);
    else if (out)
        fine = screen_draw(out, &w->now, &look);
    if (out && fclose(out) != 0)
        fine = false;
    if (fine)
        terminal_show(w->terminal, text, length);
    free(text);
    return fine ? -1 : end_with(w, EX_OSERR, "out of memory");
}

/* A person is told; a program that reads the lines sees the first one when there is something. */
static int show_waiting(struct watching *w)
{
    char where[ADDRESS_TEXT_MAX];

    if (!w->told && isatty(STDOUT_FILENO))
        fprintf(stderr, "embmonctl: waiting for the first run at %s\n", address_text(w->at, where));
    w->told = true;
    return -1;
}

static int show_lines(struct watching *w)
{
    const struct watched *before = w->last.object ? &w->last : NULL;

    if (w->waiting)
        return show_waiting(w);
    if (!w->options->json) {
        changes_print(stdout, before, &w->now);
    } else if (!before || changes_any(before, &w->now)) {
        char *line = json_line(w->now.object);

        if (!line)
            return end_with(w, EX_OSERR, "out of memory");
        puts(line);
        free(line);
    }
    return fflush(stdout) == 0 ? -1 : end_with(w, EX_IOERR, strerror(errno));
}

/* ---- waiting */

/* The reader of a pipe may go away while there is nothing to write. */
static int wait_lines(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = 0};

    return poll(&out, 1, REFRESH_MS) > 0 ? 0 : -1;
}

static int wait_screen(struct watching *w)
{
    uint64_t end = moment_now().ms + REFRESH_MS;

    for (;;) {
        uint64_t left = moment_since((struct moment){.ms = end}, moment_now().ms);
        enum terminal_event event = terminal_wait(w->terminal, (int)left);
        int status = -1;

        if (event == TERMINAL_QUIT)
            return 0;
        if (event == TERMINAL_REDRAW)
            status = show_screen(w);
        if (status >= 0 || left == 0)
            return status;
    }
}

static int watch(struct watching *w)
{
    int status = ask(w);

    if (status >= 0)
        return status;
    if (!w->options->json && terminal_usable()) {
        w->terminal = terminal_open();
        if (!w->terminal)
            return end_with(w, EX_OSERR, strerror(errno));
    }
    for (;;) {
        status = w->terminal ? show_screen(w) : show_lines(w);
        if (status < 0)
            status = w->terminal ? wait_screen(w) : wait_lines();
        if (status < 0)
            status = ask(w);
        if (status >= 0)
            return status;
    }
}

int ctl_watch(const struct ctl_watch *options)
{
    struct watching w = {.options = options};
    int status;

    status = watch(&w);
    terminal_close(w.terminal);
    if (*w.problem)
        fprintf(stderr, "embmonctl: %s\n", w.problem);
    watched_free(&w.last);
    watched_free(&w.now);
    return status;
}
