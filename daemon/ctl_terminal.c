#include "daemon/ctl_terminal.h"

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* A terminal that is held (Ctrl-S) takes no more than its buffer has room for. */
enum { CHUNK = 256, LEAVE_MS = 500, COLUMNS_USUAL = 80, LINES_USUAL = 24 };

/* Another screen, no cursor, and no new line where a line is too long: a character that is wider
 * than we think must not move the others. */
static const char enter[] = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J";
static const char leave[] = "\x1b[?7h\x1b[?25h\x1b[?1049l";

struct terminal {
    int signals;
    sigset_t taken, before; /* what we blocked; the mask we found */
    bool has_keys;          /* stdin is a terminal, too */
    struct termios found;
};

bool terminal_usable(void)
{
    const char *name = getenv("TERM");

    return isatty(STDOUT_FILENO) && name && *name && strcmp(name, "dumb") != 0;
}

/* A signal, or the end of the patience, interrupts a terminal that takes nothing: then the rest of
 * the text is lost. */
static void put_within(const struct terminal *t, const char *text, size_t n, int patience_ms)
{
    struct pollfd both[] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                            {.fd = t->signals, .events = POLLIN}};

    while (n > 0) {
        ssize_t written;

        if (poll(both, 2, patience_ms) <= 0 || !(both[0].revents & POLLOUT))
            return;
        written = write(STDOUT_FILENO, text, n < CHUNK ? n : CHUNK);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (written > 0) {
            text += written;
            n -= (size_t)written;
        }
    }
}

static void put(const struct terminal *t, const char *text, size_t n)
{
    put_within(t, text, n, -1);
}

static void take_over(struct terminal *t)
{
    struct termios raw;

    if (t->has_keys) {
        raw = t->found;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    put(t, enter, sizeof enter - 1);
}

static void give_back(struct terminal *t)
{
    (void)tcflow(STDOUT_FILENO, TCOON); /* it may be held */
    put_within(t, leave, sizeof leave - 1, LEAVE_MS);
    if (t->has_keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &t->found);
}

/* What is ignored stays ignored (nohup): a blocked signal would reach us all the same. */
static void choose_signals(sigset_t *set)
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

    sigemptyset(set);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct sigaction action;

        if (sigaction(all[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(set, all[i]);
    }
}

struct terminal *terminal_open(void)
{
    struct terminal *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    choose_signals(&t->taken);
    t->signals = signalfd(-1, &t->taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (t->signals < 0 || sigprocmask(SIG_BLOCK, &t->taken, &t->before) != 0) {
        int error = errno;

        if (t->signals >= 0)
            close(t->signals);
        free(t);
        errno = error;
        return NULL;
    }
    t->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &t->found) == 0;
    take_over(t);
    return t;
}

void terminal_close(struct terminal *t)
{
    if (!t)
        return;
    give_back(t);
    close(t->signals);
    sigprocmask(SIG_SETMASK, &t->before, NULL);
    free(t);
}

struct screen_look terminal_look(const struct terminal *t)
{
    const char *no_color = getenv("NO_COLOR");
    struct winsize size = {0};

    (void)t;
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    return (struct screen_look){
        .columns = size.ws_col ? size.ws_col : COLUMNS_USUAL,
        .lines = size.ws_row ? size.ws_row : LINES_USUAL,
        .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .colours = !no_color || !*no_color,
    };
}

void terminal_show(struct terminal *t, const char *text, size_t length)
{
    static const char home[] = "\x1b[H", clear_line[] = "\x1b[K", clear_rest[] = "\x1b[J";
    const char *newline;

    /* What is cleared is cleared before the text: after a line that is full the cursor stands on
     * its last character. The last line has no end: it would scroll. */
    put(t, home, sizeof home - 1);
    while ((newline = memchr(text, '\n', length))) {
        size_t n = (size_t)(newline - text);

        put(t, clear_line, sizeof clear_line - 1);
        put(t, text, n);
        put(t, "\r\n", 2);
        text += n + 1;
        length -= n + 1;
    }
    put(t, clear_rest, sizeof clear_rest - 1);
    put(t, text, length);
}

/* Stops as any program would, with the terminal as it was found. */
static void suspend(struct terminal *t)
{
    sigset_t stop;

    give_back(t);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    (void)raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &stop, NULL); /* here it stops, until SIGCONT */
    sigprocmask(SIG_BLOCK, &stop, NULL);
    take_over(t);
}

static enum terminal_event take_signal(struct terminal *t)
{
    struct signalfd_siginfo info;

    if (read(t->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return TERMINAL_TIMEOUT;
    if (info.ssi_signo == SIGTSTP)
        suspend(t);
    return info.ssi_signo == SIGTSTP || info.ssi_signo == SIGWINCH ? TERMINAL_REDRAW
                                                                   : TERMINAL_QUIT;
}

static enum terminal_event take_key(struct terminal *t)
{
    char key;
    ssize_t n = read(STDIN_FILENO, &key, 1);

    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        t->has_keys = false; /* nothing more comes from there */
    return n == 1 && (key == 'q' || key == 'Q') ? TERMINAL_QUIT : TERMINAL_TIMEOUT;
}

enum terminal_event terminal_wait(struct terminal *t, int timeout_ms)
{
    struct pollfd all[] = {{.fd = t->signals, .events = POLLIN},
                           {.fd = STDOUT_FILENO, .events = 0},
                           {.fd = t->has_keys ? STDIN_FILENO : -1, .events = POLLIN}};

    if (poll(all, 3, timeout_ms) <= 0)
        return TERMINAL_TIMEOUT;
    if (all[0].revents)
        return take_signal(t);
    if (all[1].revents)
        return TERMINAL_QUIT;
    return take_key(t);
}
