/* What to do where a file cannot be written. */
#ifndef EMBMON_DAEMON_ADVICE_H
#define EMBMON_DAEMON_ADVICE_H

/* For an errno: what to do about it, a static text that goes on after a colon. */
const char *advice_for(int error);

#endif
