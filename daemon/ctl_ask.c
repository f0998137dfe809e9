#include "daemon/ctl_ask.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/control.h"
#include "daemon/listen.h"
#include "daemon/moment.h"
#include "proto/frame.h"
#include "proto/handshake.h"
#include "proto/tcp.h"

enum { READ_BYTES = 64 << 10, INPUT_MAX = FRAME_HEADER + FRAME_PAYLOAD_MAX, WHY_MAX = 200 };

struct exchange {
    int fd;
    bool proving; /* the daemon has not proven yet that it knows the token */
    struct handshake handshake;
    uint64_t deadline_ms;
    uint8_t *input; /* READ_BYTES + INPUT_MAX */
    size_t input_length;
    struct message_decoder *decoder;
    struct frame_codec codec;
    const char *problem; /* static, or refusal */
    char refusal[160];
};

static bool give_up(struct exchange *e, const char *problem)
{
    e->problem = problem;
    return false;
}

/* Waits for the socket, at most until the deadline. */
static bool ready(struct exchange *e, short events)
{
    for (;;) {
        uint64_t now = moment_now().ms;
        struct pollfd socket_event = {.fd = e->fd, .events = events};
        if (now >= e->deadline_ms)
            return give_up(e, "no answer within 2 s");
        if (poll(&socket_event, 1, (int)(e->deadline_ms - now)) > 0)
            return true;
    }
}

static bool reach_unix(struct exchange *e, const struct address *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    memcpy(name.sun_path, address->path, strlen(address->path) + 1);
    e->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->fd < 0)
        return give_up(e, strerror(errno));
    while (connect(e->fd, (struct sockaddr *)&name, sizeof name) != 0) {
        if (errno != EAGAIN) /* its queue is full: there is nothing to poll for */
            return give_up(e, strerror(errno));
        if (moment_now().ms >= e->deadline_ms)
            return give_up(e, "no answer within 2 s");
        poll(NULL, 0, 20);
    }
    /* Anybody may listen in a folder that is not ours; root may ask everybody. */
    if (geteuid() != 0 && !listener_admits(e->fd))
        return give_up(e, "another user's program listens there");
    return true;
}

static bool connected(struct exchange *e, const struct tcp_name *name)
{
    int error = 0;
    socklen_t length = sizeof error;

    e->fd = socket(name->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (e->fd < 0)
        return give_up(e, strerror(errno));
    if (connect(e->fd, (const struct sockaddr *)&name->name, name->length) == 0)
        return true;
    if (errno != EINPROGRESS)
        return give_up(e, strerror(errno));
    if (!ready(e, POLLOUT))
        return false;
    if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0)
        return give_up(e, strerror(error));
    return true;
}

/* Each of the host's addresses in turn. */
static bool reach_tcp(struct exchange *e, const struct address *address)
{
    struct tcp_name names[TCP_NAMES_MAX];
    size_t count = tcp_resolve(address, names, &e->problem);

    e->deadline_ms = moment_now().ms + CTL_TIMEOUT_MS; /* the resolver has its own */
    for (size_t i = 0; i < count; i++) {
        if (connected(e, &names[i]))
            return true;
        if (e->fd >= 0)
            close(e->fd);
        e->fd = -1;
    }
    return false;
}

static bool send_bytes(struct exchange *e, const uint8_t *bytes, size_t n)
{
    size_t sent = 0;

    while (sent < n) {
        if (!ready(e, POLLOUT))
            return false;
        ssize_t written = send(e->fd, bytes + sent, n - sent, MSG_NOSIGNAL);
        if (written > 0)
            sent += (size_t)written;
        else if (errno != EAGAIN && errno != EINTR)
            return give_up(e, strerror(errno));
    }
    return true;
}

static bool send_query(struct exchange *e, const struct msg_query *query)
{
    struct message message = {.type = FRAME_QUERY, .query = *query};
    size_t n = message_size(&message);
    uint8_t *frame = malloc(n);
    bool fine = frame && message_encode(&message, frame) == n;

    fine = fine ? send_bytes(e, frame, n) : give_up(e, "out of memory");
    free(frame);
    return fine;
}

static bool append(struct exchange *e, struct ctl_answer *answer, const struct msg_reply *reply)
{
    /* More than the daemon would send is not an answer of ours. */
    if (reply->length > CONTROL_REPLY_MAX + TEXT_MAX - answer->length)
        return give_up(e, "the answer is too long");
    char *text = realloc(answer->text, answer->length + reply->length + 1);
    if (!text)
        return give_up(e, "out of memory");
    if (reply->length > 0)
        memcpy(text + answer->length, reply->text, reply->length);
    answer->text = text;
    answer->length += reply->length;
    text[answer->length] = '\0';
    answer->status = reply->status;
    return true;
}

static bool answer_handshake(struct exchange *e, const struct frame *frame)
{
    struct handshake_frame answer;
    enum handshake_result result = handshake_take(&e->handshake, frame, &answer);

    e->proving = result != HANDSHAKE_DONE;
    if (result == HANDSHAKE_FAILED)
        return give_up(e, "what answers there does not prove that it knows our token");
    return send_bytes(e, answer.bytes, answer.length);
}

/* Takes one frame of an answer. A refusal is said in the daemon's own words. */
static bool take_frame(struct exchange *e, const struct frame *frame, struct ctl_answer *answer,
                       bool *last)
{
    struct message message;
    const char *wrong;

    if (e->proving && frame->type != FRAME_NACK)
        return answer_handshake(e, frame);
    if (frame->type == FRAME_CHALLENGE)
        return give_up(e, "it wants a token: give --token-file, or EMBMON_TOKEN_FILE");
    switch (message_decode(e->decoder, frame, &message, &wrong)) {
    case MESSAGE_OK:
        break;
    case MESSAGE_UNKNOWN:
        return true;
    default:
        return give_up(e, "what answers there is not an embmond");
    }
    if (message.type == FRAME_NACK) {
        snprintf(e->refusal, sizeof e->refusal, "it refuses: %s", message.nack.detail);
        return give_up(e, e->refusal);
    }
    if (message.type != FRAME_REPLY)
        return true;
    *last = message.reply.last;
    return append(e, answer, &message.reply);
}

/* Takes the whole frames of the input, up to the one that ends what is waited for: the handshake,
 * or the answer (*last). */
static bool take_frames(struct exchange *e, struct ctl_answer *answer, bool *last)
{
    size_t taken = 0, used;
    struct frame frame;
    enum frame_result result = FRAME_OK;
    bool proving = e->proving;

    while (!*last && e->proving == proving &&
           (result = frame_read(&frame, &used, e->input + taken, e->input_length - taken, &e->codec,
                                FRAME_PAYLOAD_MAX, FRAME_INFLATED_MAX)) == FRAME_OK) {
        taken += used;
        if (!take_frame(e, &frame, answer, last))
            return false;
    }
    if (result != FRAME_OK && result != FRAME_MORE)
        return give_up(e, "what answers there is not an embmond");
    memmove(e->input, e->input + taken, e->input_length - taken);
    e->input_length -= taken;
    return true;
}

/* Until the handshake is done, or the answer complete. */
static bool receive(struct exchange *e, struct ctl_answer *answer)
{
    bool last = false, proving = e->proving;

    while (!last && e->proving == proving) {
        if (!ready(e, POLLIN))
            return false;
        ssize_t n = recv(e->fd, e->input + e->input_length, READ_BYTES, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return give_up(e, n == 0 ? "the daemon closed the connection" : strerror(errno));
        e->input_length += (size_t)n;
        e->deadline_ms = moment_now().ms + CTL_TIMEOUT_MS; /* it lives, and sends */
        if (!take_frames(e, answer, &last))
            return false;
    }
    return true;
}

static bool exchange(struct exchange *e, const struct address *address, const struct token *token,
                     const struct msg_query *query, struct ctl_answer *answer)
{
    bool tcp = address_is_tcp(address);

    if (!(tcp ? reach_tcp(e, address) : reach_unix(e, address)))
        return false;
    e->proving = tcp && token && token->length > 0;
    if (e->proving) {
        handshake_expect(&e->handshake, token);
        if (!receive(e, answer))
            return false;
    }
    return send_query(e, query) && receive(e, answer);
}

/* False, and why, when nobody answers. */
static bool ask_at(const struct address *address, const struct token *token,
                   const struct msg_query *query, struct ctl_answer *answer, char why[WHY_MAX])
{
    struct exchange e = {.fd = -1, .deadline_ms = moment_now().ms + CTL_TIMEOUT_MS};

    *answer = (struct ctl_answer){0};
    e.input = malloc(READ_BYTES + INPUT_MAX);
    e.decoder = message_decoder_new();
    e.problem = "out of memory";
    bool fine = e.input && e.decoder && exchange(&e, address, token, query, answer);
    if (!fine) {
        ctl_answer_free(answer);
        snprintf(why, WHY_MAX, "%s", e.problem);
    }
    if (e.fd >= 0)
        close(e.fd);
    message_decoder_free(e.decoder);
    frame_codec_free(&e.codec);
    free(e.input);
    return fine;
}

int ctl_ask(const struct address *address, const struct token *token, const struct msg_query *query,
            struct ctl_answer *answer, char problem[CTL_PROBLEM_MAX])
{
    char text[ADDRESS_TEXT_MAX], why[WHY_MAX];

    if (ask_at(address, token, query, answer, why))
        return 0;
    snprintf(problem, CTL_PROBLEM_MAX, "%s: %s", address_text(address, text), why);
    return EX_UNAVAILABLE;
}

int ctl_ask_any(const struct address *addresses, size_t count, const struct token *token,
                const struct msg_query *query, struct ctl_answer *answer, size_t *by,
                char problem[CTL_PROBLEM_MAX])
{
    char whys[ADDRESS_DEFAULTS_MAX][WHY_MAX], list[ADDRESS_LIST_MAX];
    const char *reasons[ADDRESS_DEFAULTS_MAX];

    for (*by = 0; *by < count; ++*by) {
        if (ask_at(&addresses[*by], token, query, answer, whys[*by]))
            return 0;
        reasons[*by] = whys[*by];
    }
    snprintf(problem, CTL_PROBLEM_MAX,
             "no embmond at %s: %s; start one, or say with --address or EMBMON_ADDRESS where it is",
             address_list(addresses, reasons, count, list, sizeof list), reasons[count - 1]);
    return EX_UNAVAILABLE;
}

void ctl_answer_free(struct ctl_answer *answer)
{
    free(answer->text);
    *answer = (struct ctl_answer){0};
}
