/* A session that wants the token proven: whatever comes, in any cut, nobody is let in who does not
 * know it, nothing is made for him, and little is kept of what he says. */
#include "daemon/log.h"
#include "daemon/registry.h"
#include "daemon/session.h"
#include "proto/handshake.h"
#include "tests/fuzz/target.h"

enum { KEPT_MAX = HANDSHAKE_PAYLOAD_MAX + FRAME_HEADER, SAID_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct token token = {.length = 20, .bytes = "a token of 20 bytes!"};
    struct moment now = {.ms = 1, .wall = 1e9};
    struct registry *registry = registry_new("/nonexistent", now);
    struct session *session = registry ? session_new(registry, now) : NULL;
    enum session_result result = SESSION_OPEN;
    size_t cut = size > 0 ? (size_t)data[0] + 1 : 1, said = 0, n, at = 1;

    log_configure(LOG_LEVEL_ERROR, false);
    PROMISE(session);
    session_over_tcp(session, &token);
    for (; at < size && result == SESSION_OPEN; at += cut) {
        size_t length = cut < size - at ? cut : size - at;
        uint8_t *piece = exactly(data + at, length);

        result = session_feed(session, piece, length, now);
        free(piece);
        session_output(session, &n);
        said += n;
        PROMISE(!session_is_proven(session));
        PROMISE(result == SESSION_OPEN || session_complaint(session));
    }
    PROMISE(result != SESSION_PAUSE && said <= SAID_MAX);
    PROMISE(result == SESSION_CLOSE || at <= KEPT_MAX + 2 * cut);
    PROMISE(registry_runs(registry) == 0 && registry_totals(registry)->sessions == 0);
    session_free(session, now);
    registry_free(registry, now);
    return 0;
}
