/* A daemon for the client's tests: a Unix socket in a temporary folder, or a tcp port, served by
 * the test itself, which says word by word what a daemon may say and reads what it is told. */
#ifndef EMBMON_TESTS_FAKE_DAEMON_H
#define EMBMON_TESTS_FAKE_DAEMON_H

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/address.h"
#include "proto/message.h"

enum { FAKE_BUFFER = 1 << 20 };

struct fake {
    char folder[64], path[100], address[112];
    int listener, peer;
    struct message_decoder *decoder;
    struct frame_codec codec;
    size_t first, end;
    uint8_t buffer[FAKE_BUFFER];
};

static inline void fake_listen(struct fake *f)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(name.sun_path, f->path, strlen(f->path));
    unlink(f->path);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(f->listener, 4), 0);
}

/* The same on a port of the loopback interface; *address is then where. */
static inline void fake_listen_tcp(struct fake *f, struct address *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof name;

    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&name, &length), 0);
    assert_int_equal(listen(f->listener, 4), 0);
    *address = (struct address){.host = "127.0.0.1", .port = ntohs(name.sin_port)};
}

static inline void fake_hang_up(struct fake *f)
{
    if (f->peer >= 0)
        close(f->peer);
    f->peer = -1;
    f->first = f->end = 0;
}

static inline void fake_stop_listening(struct fake *f)
{
    if (f->listener >= 0)
        close(f->listener);
    f->listener = -1;
    unlink(f->path);
}

/* Makes the folder; the socket comes with fake_listen(). */
static inline struct fake *fake_new(void)
{
    struct fake *f = calloc(1, sizeof *f);

    assert_non_null(f);
    strcpy(f->folder, "/tmp/embmon-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/socket", f->folder);
    snprintf(f->address, sizeof f->address, "unix:%s", f->path);
    f->listener = f->peer = -1;
    f->decoder = message_decoder_new();
    assert_non_null(f->decoder);
    return f;
}

static inline void fake_free(struct fake *f)
{
    fake_hang_up(f);
    fake_stop_listening(f);
    rmdir(f->folder);
    message_decoder_free(f->decoder);
    frame_codec_free(&f->codec);
    free(f);
}

static inline bool fake_accept(struct fake *f, int timeout_ms)
{
    struct pollfd poll_for = {f->listener, POLLIN, 0};

    if (poll(&poll_for, 1, timeout_ms) != 1)
        return false;
    f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    f->first = f->end = 0;
    return f->peer >= 0;
}

/* The next message; false: nothing within the time, or the client hung up. */
static inline bool fake_next(struct fake *f, struct message *message, int timeout_ms)
{
    for (;;) {
        struct pollfd poll_for = {f->peer, POLLIN, 0};
        struct frame frame;
        const char *problem;
        size_t used;
        ssize_t got;

        if (frame_read(&frame, &used, f->buffer + f->first, f->end - f->first, &f->codec,
                       FRAME_PAYLOAD_MAX, FRAME_INFLATED_MAX) == FRAME_OK) {
            f->first += used;
            assert_int_equal(message_decode(f->decoder, &frame, message, &problem), MESSAGE_OK);
            return true;
        }
        memmove(f->buffer, f->buffer + f->first, f->end - f->first);
        f->end -= f->first;
        f->first = 0;
        if (poll(&poll_for, 1, timeout_ms) != 1)
            return false;
        got = read(f->peer, f->buffer + f->end, sizeof f->buffer - f->end);
        if (got <= 0)
            return false;
        f->end += (size_t)got;
    }
}

/* The next message that is no heartbeat has this type. */
static inline void fake_expect(struct fake *f, enum frame_type type, struct message *message)
{
    do
        assert_true(fake_next(f, message, 5000));
    while (message->type == FRAME_HEARTBEAT && type != FRAME_HEARTBEAT);
    assert_int_equal(message->type, type);
}

/* Nothing but heartbeats comes within the time. */
static inline void fake_expect_silence(struct fake *f, int timeout_ms)
{
    struct message message;

    while (fake_next(f, &message, timeout_ms))
        assert_int_equal(message.type, FRAME_HEARTBEAT);
}

static inline void fake_send_bytes(struct fake *f, const void *bytes, size_t n)
{
    assert_int_equal(send(f->peer, bytes, n, MSG_NOSIGNAL), n);
}

static inline void fake_send(struct fake *f, const struct message *message)
{
    uint8_t frame[16384];

    assert_true(message_size(message) <= sizeof frame);
    fake_send_bytes(f, frame, message_encode(message, frame));
}

static inline void fake_welcome(struct fake *f, const char *run, uint64_t sequence, uint32_t every)
{
    struct message m = {.type = FRAME_WELCOME};

    m.welcome.protocol = PROTOCOL_VERSION;
    m.welcome.run = run;
    m.welcome.every = every;
    m.welcome.sequence = sequence;
    m.welcome.frame_limit = FRAME_PAYLOAD_MAX;
    fake_send(f, &m);
}

static inline void fake_ack(struct fake *f, uint64_t kept)
{
    struct message m = {.type = FRAME_ACK, .ack = {.kept = kept}};

    fake_send(f, &m);
}

static inline void fake_nack(struct fake *f, uint64_t sequence, uint32_t reason)
{
    struct message m = {.type = FRAME_NACK, .nack = {sequence, reason, "for the test"}};

    fake_send(f, &m);
}

/* Accepts, reads Hello and welcomes. */
static inline void fake_greet(struct fake *f, uint64_t sequence, uint32_t every)
{
    struct message hello;

    assert_true(fake_accept(f, 5000));
    fake_expect(f, FRAME_HELLO, &hello);
    fake_welcome(f, "run", sequence, every);
}

#endif
