/* How much embmond takes on: ROW(name, least, most, default) for each key of `limits` in the
 * configuration file, which moves it, and what is used of each, which embmonctl status shows. All
 * are looked at before there is memory, a file or a place for what they are about. */
#ifndef EMBMON_DAEMON_CEILINGS_H
#define EMBMON_DAEMON_CEILINGS_H

#include <stdint.h>

enum { RUN_BYTES_DEFAULT = 128 << 20 };

#define KIB(n) (UINT64_C(n) << 10)
#define MIB(n) (UINT64_C(n) << 20)
#define GIB(n) (UINT64_C(n) << 30)

#define CEILINGS(ROW)                                                                              \
    /* Connections. More of them are accepted and closed at once; unproven: over tcp, and the      \
     * token is not proven yet; failed proofs of one machine, then one a second. */                \
    ROW(connections, 1, 4096, 1024)                                                                \
    ROW(tcp_connections, 1, 4096, 256)                                                             \
    ROW(unproven_connections, 1, 4096, 64)                                                         \
    ROW(failed_proofs, 1, 1000, 10)                                                                \
    /* Until the first whole message, until a frame that began is whole, until a peer over tcp     \
     * says something: then closed. */                                                             \
    ROW(handshake_seconds, 2, 60, 5)                                                               \
    ROW(frame_seconds, 1, 600, 30)                                                                 \
    ROW(silence_seconds, 5, 3600, 30)                                                              \
    /* What waits for one peer to read it, and what all connections hold for and of their peers.   \
     */                                                                                            \
    ROW(output_bytes, KIB(256), GIB(1), MIB(1))                                                    \
    ROW(buffer_bytes, MIB(16), GIB(1024), MIB(256))                                                \
    /* A message: as sent, inflated, and as it is unpacked. */                                     \
    ROW(frame_bytes, KIB(64), MIB(4), MIB(4))                                                      \
    ROW(inflated_bytes, KIB(64), MIB(16), MIB(16))                                                 \
    ROW(message_bytes, MIB(8), MIB(64), MIB(64))                                                   \
    /* Runs that are loaded; ranks and layers of one, layers of all. */                            \
    ROW(runs, 1, 1024, 256)                                                                        \
    ROW(ranks, 1, 1024, 1024)                                                                      \
    ROW(layers, 1, 4096, 4096)                                                                     \
    ROW(all_layers, 1, 4194304, 65536)                                                             \
    /* Alerts that are kept, of a run and of all: what is told and counted has no limit. */        \
    ROW(alerts, 64, 1048576, 4096)                                                                 \
    ROW(all_alerts, 64, 1048576, 8192)                                                             \
    /* Open steps, which may have half of it, and windows of a run; the whole process, beyond      \
     * which there are no new runs and layers; without a post until a run is unloaded. */          \
    ROW(run_bytes, MIB(1), GIB(1024), RUN_BYTES_DEFAULT)                                           \
    ROW(memory_bytes, MIB(64), GIB(1024), MIB(384))                                                \
    ROW(idle_seconds, 60, 2592000, 3600)                                                           \
    /* An event file, until it is followed by the next one. */                                     \
    ROW(file_bytes, KIB(64), GIB(1024), MIB(256))                                                  \
    /* What is to stay free on the disk, event files may take, and may wait: see thrift.h. */      \
    ROW(keep_free_bytes, 0, GIB(1024), GIB(1))                                                     \
    ROW(logdir_bytes, MIB(16), GIB(1048576), GIB(10))                                              \
    ROW(pending_bytes, MIB(1), GIB(1024), MIB(64))

struct ceilings {
#define CEILING(name, least, most, standard) uint64_t name;
    CEILINGS(CEILING)
#undef CEILING
};

#define CEILING_DEFAULT(name, least, most, standard) .name = (standard),
#define CEILINGS_DEFAULT                                                                           \
    {                                                                                              \
        CEILINGS(CEILING_DEFAULT)                                                                  \
    }

/* used: now; of limits of one run, connection or machine what the one has that has most; of limits
 * of one message the largest so far; of durations nothing. refused: how often something was
 * refused, closed or left out for it since the start. */
struct gauge {
    uint64_t used, refused;
};

struct usage {
#define CEILING(name, least, most, standard) struct gauge name;
    CEILINGS(CEILING)
#undef CEILING
    unsigned thrift;     /* bit per limit of the disk that is in the way now */
    uint64_t files;      /* descriptors that the process may have; 0: more than it needs */
    uint64_t sink_files; /* of these, for what sinks open while they deliver */
};

/* What they are needed for: its own (standard streams, listeners, the loop's, those that are opened
 * for a moment, the folders of a run that the census is in), and of each run its folder twice, its
 * event file and its alerts.jsonl. */
enum { FILES_OWN = 22, FILES_RUN = 4 };

/* Descriptors that are left for connections and runs: where they ran out, no checkpoint could be
 * written, and so nobody would get an Ack. */
static inline uint64_t usage_files_left(const struct usage *usage)
{
    uint64_t taken =
        FILES_OWN + usage->sink_files + usage->connections.used + FILES_RUN * usage->runs.used;

    if (usage->files == 0)
        return UINT64_MAX;
    return usage->files > taken ? usage->files - taken : 0;
}

static inline void gauge_most(struct gauge *gauge, uint64_t used)
{
    if (used > gauge->used)
        gauge->used = used;
}

#endif
