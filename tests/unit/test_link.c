#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>

#include "client/link.h"
#include "tests/unit/fake_daemon.h"

struct world {
    struct fake *fake;
    struct link *link;
    _Atomic int fd;
};

static int open_world(void **to)
{
    struct world *w = calloc(1, sizeof *w);
    struct address addresses[2] = {{.path = "/nowhere/at/all"}};

    assert_non_null(w);
    w->fake = fake_new();
    strcpy(addresses[1].path, w->fake->path);
    w->link = link_new(addresses, 2, 7, &w->fd);
    assert_non_null(w->link);
    *to = w;
    return 0;
}

static int close_world(void **to)
{
    struct world *w = *to;

    link_free(w->link);
    assert_int_equal(w->fd, -1);
    fake_free(w->fake);
    free(w);
    return 0;
}

static void connect_now(struct world *w)
{
    const char *problem;

    fake_listen(w->fake);
    assert_true(link_connect(w->link, 0, &problem));
    assert_true(fake_accept(w->fake, 0));
}

static void all_addresses_are_tried_in_turn(void **to)
{
    struct world *w = *to;

    connect_now(w);
    assert_true(link_is_up(w->link));
    assert_int_equal(w->fd, link_socket(w->link));
    assert_string_equal(link_where(w->link), w->fake->address);
    assert_true(fcntl(w->fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(w->fd, F_GETFL) & O_NONBLOCK);
}

static void all_that_were_tried_in_vain_are_told(void **to)
{
    struct world *w = *to;
    const char *problem;
    char expected[200];

    assert_false(link_connect(w->link, 0, &problem));
    assert_string_equal(problem, "nobody listens there");
    snprintf(expected, sizeof expected, "unix:/nowhere/at/all or %s", w->fake->address);
    assert_string_equal(link_tried(w->link), expected);
}

static void attempts_back_off_doubling_with_jitter_to_10_seconds(void **to)
{
    struct world *w = *to;
    int64_t now = 0, wanted = 100;
    const char *problem;

    for (int i = 0; i < 12; i++) {
        int64_t wait;

        assert_false(link_connect(w->link, now, &problem));
        assert_string_equal(problem, "nobody listens there");
        wait = link_wait(w->link, now);
        assert_true(wait >= wanted / 2 && wait <= wanted + wanted / 2);
        assert_false(link_connect(w->link, now + wait - 1, &problem)); /* not yet: no attempt */
        assert_null(problem);
        now += wait;
        wanted = wanted * 2 < 10000 ? wanted * 2 : 10000;
    }
    link_hurry(w->link);
    assert_int_equal(link_wait(w->link, now), 0);
}

static void a_lost_connection_backs_off_until_it_has_settled(void **to)
{
    struct world *w = *to;
    const char *problem;

    connect_now(w);
    link_drop(w->link, 0);
    assert_false(link_is_up(w->link));
    assert_true(link_wait(w->link, 0) >= 50 && link_wait(w->link, 0) <= 150);
    assert_true(link_connect(w->link, 1000, &problem));
    link_drop(w->link, 1000);
    assert_true(link_wait(w->link, 1000) >= 100);
    assert_true(link_connect(w->link, 2000, &problem));
    link_settled(w->link);
    link_drop(w->link, 2000);
    assert_true(link_wait(w->link, 2000) <= 150);
}

static void a_full_backlog_is_tried_again_later(void **to)
{
    struct world *w = *to;
    int held[8], n = 0;
    const char *problem;
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    fake_listen(w->fake);
    strcpy(name.sun_path, w->fake->path);
    for (; n < 8; n++) {
        held[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(held[n], (struct sockaddr *)&name, sizeof name) != 0)
            break;
    }
    assert_true(n < 8);
    assert_false(link_connect(w->link, 0, &problem));
    assert_string_equal(problem, "the daemon is busy");
    for (; n >= 0; n--)
        close(held[n]);
}

/* A peer that does not read: what does not fit waits, then there is no room, and nothing blocks. */
static void a_peer_that_does_not_read_stops_us_without_blocking(void **to)
{
    struct world *w = *to;
    size_t total = 0, got = 0;
    uint8_t byte = 0, buffer[4096];

    connect_now(w);
    for (;;) {
        uint8_t *room = link_room(w->link, 1000);

        if (!room)
            break;
        memset(room, byte++, 1000);
        link_wrote(w->link, 1000);
        total += 1000;
        assert_true(link_flush(w->link));
    }
    assert_true(link_pending(w->link) > LINK_OUT - 1000);
    while (got < total) {
        ssize_t n = read(w->fake->peer, buffer, sizeof buffer);

        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++, got++)
            assert_int_equal(buffer[i], (uint8_t)(got / 1000));
        assert_true(link_flush(w->link));
    }
    assert_int_equal(link_pending(w->link), 0);
}

static void a_dead_peer_is_no_signal_but_a_lost_connection(void **to)
{
    struct world *w = *to;

    connect_now(w);
    fake_hang_up(w->fake);
    signal(SIGPIPE, SIG_DFL);
    assert_non_null(link_room(w->link, 4));
    link_wrote(w->link, 4);
    assert_false(link_flush(w->link));
    assert_false(link_receive(w->link));
}

static void frames_are_read_in_any_cut_and_those_before_the_end_are_kept(void **to)
{
    struct world *w = *to;
    uint8_t bytes[FRAME_HEADER + 3] = {0};
    struct frame frame;

    connect_now(w);
    memcpy(bytes + FRAME_HEADER, "abc", 3);
    frame_seal(bytes, FRAME_ACK, 0, 3);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_true(link_receive(w->link));
        assert_int_equal(link_frame(w->link, &frame), FRAME_MORE);
        fake_send_bytes(w->fake, bytes + i, 1);
    }
    fake_send_bytes(w->fake, bytes, sizeof bytes);
    fake_hang_up(w->fake);
    assert_false(link_receive(w->link));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(link_frame(w->link, &frame), FRAME_OK);
        assert_int_equal(frame.type, FRAME_ACK);
        assert_memory_equal(frame.payload, "abc", 3);
    }
    assert_int_equal(link_frame(w->link, &frame), FRAME_MORE);
}

static void a_frame_above_the_ceiling_is_refused_by_its_header(void **to)
{
    struct world *w = *to;
    uint8_t *bytes = calloc(1, FRAME_HEADER + LINK_IN + 1);
    struct frame frame;

    connect_now(w);
    frame_seal(bytes, FRAME_ACK, 0, LINK_IN + 1);
    fake_send_bytes(w->fake, bytes, FRAME_HEADER);
    assert_true(link_receive(w->link));
    assert_int_equal(link_frame(w->link, &frame), FRAME_TOO_LONG);
    free(bytes);
}

/* ---- over tcp */

struct tcp_world {
    struct fake *fake;
    struct link *link;
    struct address address;
    _Atomic int fd;
};

static int open_tcp_world(void **to)
{
    struct tcp_world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->fake = fake_new();
    fake_listen_tcp(w->fake, &w->address);
    w->link = link_new(&w->address, 1, 7, &w->fd);
    assert_non_null(w->link);
    *to = w;
    return 0;
}

static int close_tcp_world(void **to)
{
    struct tcp_world *w = *to;

    link_free(w->link);
    assert_int_equal(w->fd, -1);
    fake_free(w->fake);
    free(w);
    return 0;
}

/* Turns at one moment of the clock until the attempt has ended. */
static bool connect_tcp(struct link *link, int64_t now, const char **problem)
{
    for (int turn = 0; turn < 5000; turn++) {
        if (link_connect(link, now, problem))
            return true;
        if (*problem)
            return false;
        poll(NULL, 0, 1);
    }
    return false;
}

static int socket_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;

    assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

static void a_port_is_connected_to_without_waiting(void **to)
{
    struct tcp_world *w = *to;
    const char *problem;
    char text[ADDRESS_TEXT_MAX];

    assert_true(connect_tcp(w->link, 0, &problem));
    assert_true(link_is_up(w->link) && link_is_tcp(w->link));
    assert_true(fake_accept(w->fake, 1000));
    assert_string_equal(link_where(w->link), address_text(&w->address, text));
    assert_true(fcntl(w->fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(w->fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(socket_option(w->fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(socket_option(w->fd, SOL_SOCKET, SO_KEEPALIVE), 1);
}

static void a_closed_port_is_told_and_backed_off_from(void **to)
{
    struct tcp_world *w = *to;
    const char *problem;

    fake_stop_listening(w->fake);
    assert_false(connect_tcp(w->link, 0, &problem));
    assert_string_equal(problem, "nobody listens there");
    assert_false(link_is_up(w->link));
    assert_int_equal(w->fd, -1);
    assert_true(link_wait(w->link, 0) >= 50);
}

/* 192.0.2.1 is nobody's, for documents: where packets to it are thrown away nothing ever comes
 * back, where there is no way to it that is said at once. */
static void a_machine_that_does_not_answer_is_given_up_after_5_seconds(void **to)
{
    struct address nobody = {.host = "192.0.2.1", .port = 9};
    _Atomic int fd = -1;
    struct link *link = link_new(&nobody, 1, 7, &fd);
    const char *problem;

    (void)to;
    assert_non_null(link);
    assert_false(link_connect(link, 0, &problem));
    if (problem) {
        assert_string_equal(problem, "there is no way to that machine");
    } else {
        assert_false(link_is_up(link));
        assert_false(link_connect(link, LINK_CONNECT_MS - 1, &problem));
        assert_false(link_connect(link, LINK_CONNECT_MS, &problem));
        assert_non_null(problem);
    }
    assert_int_equal(fd, -1);
    link_free(link);
}

static void a_host_that_is_none_is_told(void **to)
{
    struct address nobody = {.host = "1.2.3.4.5.6", .port = 9};
    _Atomic int fd = -1;
    struct link *link = link_new(&nobody, 1, 7, &fd);
    const char *problem;

    (void)to;
    assert_false(link_connect(link, 0, &problem));
    assert_non_null(problem);
    assert_string_equal(link_where(link), "tcp:1.2.3.4.5.6:9");
    link_free(link);
}

static size_t packed(struct link *link, size_t payload, uint8_t *frame)
{
    memset(frame + FRAME_HEADER, 'a', payload);
    frame_seal(frame, FRAME_SAMPLE, 0, payload);
    return link_pack(link, frame, FRAME_HEADER + payload);
}

static void frames_are_deflated_over_tcp_alone_where_it_is_worth_it(void **to)
{
    struct tcp_world *w = *to;
    struct address unix_address = {.path = "/nowhere"};
    _Atomic int fd = -1;
    struct link *local = link_new(&unix_address, 1, 7, &fd);
    uint8_t frame[FRAME_HEADER + 4096];
    struct frame_codec codec = {0};
    struct frame read;
    size_t n = packed(w->link, 4096, frame), used;

    assert_true(n < 200);
    assert_int_equal(frame_read(&read, &used, frame, n, &codec, 4096, 4096), FRAME_OK);
    assert_int_equal(read.length, 4096);
    assert_int_equal(read.type, FRAME_SAMPLE);
    frame_codec_free(&codec);
    assert_int_equal(packed(w->link, FRAME_DEFLATE_MIN - 1, frame),
                     FRAME_HEADER + FRAME_DEFLATE_MIN - 1);
    assert_true(packed(w->link, FRAME_DEFLATE_MIN, frame) < FRAME_HEADER + FRAME_DEFLATE_MIN);
    assert_int_equal(packed(local, 4096, frame), FRAME_HEADER + 4096);
    link_free(local);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
#define WITH_TCP(test)   cmocka_unit_test_setup_teardown(test, open_tcp_world, close_tcp_world)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(all_addresses_are_tried_in_turn),
        WITH_WORLD(all_that_were_tried_in_vain_are_told),
        WITH_WORLD(attempts_back_off_doubling_with_jitter_to_10_seconds),
        WITH_WORLD(a_lost_connection_backs_off_until_it_has_settled),
        WITH_WORLD(a_full_backlog_is_tried_again_later),
        WITH_WORLD(a_peer_that_does_not_read_stops_us_without_blocking),
        WITH_WORLD(a_dead_peer_is_no_signal_but_a_lost_connection),
        WITH_WORLD(frames_are_read_in_any_cut_and_those_before_the_end_are_kept),
        WITH_WORLD(a_frame_above_the_ceiling_is_refused_by_its_header),
        WITH_TCP(a_port_is_connected_to_without_waiting),
        WITH_TCP(a_closed_port_is_told_and_backed_off_from),
        cmocka_unit_test(a_machine_that_does_not_answer_is_given_up_after_5_seconds),
        cmocka_unit_test(a_host_that_is_none_is_told),
        WITH_TCP(frames_are_deflated_over_tcp_alone_where_it_is_worth_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
