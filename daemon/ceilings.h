/* How much embmond may take on; the configuration file's `limits` moves these. */
#ifndef EMBMON_DAEMON_CEILINGS_H
#define EMBMON_DAEMON_CEILINGS_H

#include <stdint.h>

enum {
    CONNECTIONS_DEFAULT = 1024,
    RUNS_DEFAULT = 256,
    RUN_BYTES_DEFAULT = 128 << 20,
    IDLE_SECONDS_DEFAULT = 3600,
};

struct ceilings {
    uint64_t connections;  /* more are accepted and closed at once */
    uint64_t runs;         /* loaded at once */
    uint64_t run_bytes;    /* of a run's open steps, which may have half of it, and windows */
    uint64_t idle_seconds; /* after which a run that nobody posts to is unloaded */
};

#define CEILINGS_DEFAULT                                                                           \
    {                                                                                              \
        CONNECTIONS_DEFAULT, RUNS_DEFAULT, RUN_BYTES_DEFAULT, IDLE_SECONDS_DEFAULT                 \
    }

#endif
