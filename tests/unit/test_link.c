#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
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
    struct address addresses[2] = {{"/nowhere/at/all"}, {""}};

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
    assert_string_equal(link_path(w->link), w->fake->path);
    assert_true(fcntl(w->fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(w->fd, F_GETFL) & O_NONBLOCK);
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

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(all_addresses_are_tried_in_turn),
        WITH_WORLD(attempts_back_off_doubling_with_jitter_to_10_seconds),
        WITH_WORLD(a_lost_connection_backs_off_until_it_has_settled),
        WITH_WORLD(a_full_backlog_is_tried_again_later),
        WITH_WORLD(a_peer_that_does_not_read_stops_us_without_blocking),
        WITH_WORLD(a_dead_peer_is_no_signal_but_a_lost_connection),
        WITH_WORLD(frames_are_read_in_any_cut_and_those_before_the_end_are_kept),
        WITH_WORLD(a_frame_above_the_ceiling_is_refused_by_its_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
