/* The terminal as embmonctl watch uses it: another screen, no echo, no cursor, and all of that put
 * back however the watching ends. The rim: what it shows is made elsewhere. */
#ifndef EMBMON_DAEMON_CTL_TERMINAL_H
#define EMBMON_DAEMON_CTL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/ctl_screen.h"

struct terminal; /* opaque */

/* True when stdout is a terminal that can place text: TERM is set, and not "dumb". */
bool terminal_usable(void);

/* Takes the terminal over. From here on SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP and SIGWINCH are
 * blocked and come as events, but for those that were ignored. NULL and errno when that fails. */
struct terminal *terminal_open(void);

/* Gives it back. NULL is fine. */
void terminal_close(struct terminal *terminal);

/* Its size now (80 x 24 when it does not say), its characters, whether colours are welcome. Uses
 * the LC_CTYPE in force. NULL: of stdout, which need not be a terminal. */
struct screen_look terminal_look(const struct terminal *terminal);

/* Shows lines with '\n' between them in place of what was there. */
void terminal_show(struct terminal *terminal, const char *text, size_t length);

enum terminal_event {
    TERMINAL_TIMEOUT,
    TERMINAL_QUIT,  /* q, or a signal that ends, or nobody at the other end */
    TERMINAL_REDRAW /* another size, or back from being suspended */
};

/* Waits for something to happen, for at most so long. */
enum terminal_event terminal_wait(struct terminal *terminal, int timeout_ms);

#endif
