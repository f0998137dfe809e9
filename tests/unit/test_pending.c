#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/pending.h"
#include "proto/crc32c.h"

static char path[64];

static int make_file(void **state)
{
    (void)state;
    strcpy(path, "/tmp/embmon-pending-XXXXXX");
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static struct pending opened(void)
{
    struct pending p = PENDING_INIT;

    p.fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(p.fd >= 0);
    return p;
}

static void queue_byte(struct pending *p, int byte, size_t n)
{
    uint8_t *to = pending_reserve(p, n);

    assert_non_null(to);
    memset(to, byte, n);
    pending_commit(p, n);
}

static void assert_file(const char *start, size_t size)
{
    char head[16] = {0};
    struct stat status;
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, size);
    assert_true(read(fd, head, sizeof head) >= (ssize_t)strlen(start));
    assert_memory_equal(head, start, strlen(start));
    close(fd);
}

static void flip(off_t at)
{
    int fd = open(path, O_RDWR);
    char byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static struct pending_place place_of(struct pending *p)
{
    struct pending_place place;
    struct carry c;

    carry_save(&c, 1 << 20);
    pending_carry_place(&c, p, &place);
    carry_free(&c);
    return place;
}

static void what_is_queued_is_written_in_order(void **state)
{
    (void)state;
    struct pending p = opened();

    queue_byte(&p, 'a', 2);
    queue_byte(&p, 'b', 3);
    assert_int_equal(p.length, 5);
    assert_true(pending_flush(&p));
    assert_int_equal(p.length, 0);
    assert_int_equal(p.written, 5);
    queue_byte(&p, 'c', 1);
    assert_true(pending_flush(&p));
    assert_file("aabbbc", 6);
    assert_int_equal(pending_close(&p), 0);
}

static void what_is_reserved_counts_only_once_it_is_committed(void **state)
{
    (void)state;
    struct pending p = opened();

    assert_non_null(pending_reserve(&p, 1000));
    assert_int_equal(p.length, 0);
    memcpy(pending_reserve(&p, 10), "xy", 2);
    pending_commit(&p, 2);
    assert_true(pending_flush(&p));
    assert_file("xy", 2);
    pending_close(&p);
}

/* A limit on the file's size stands in for a full disk: a short write, then an error. */
static void a_full_disk_keeps_the_exact_suffix(void **state)
{
    (void)state;
    struct rlimit old, limit;
    struct pending p = opened();

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){100, old.rlim_max};
    queue_byte(&p, 'a', 60);
    queue_byte(&p, 'b', 60);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool done = pending_flush(&p);
    int error = p.error;
    bool again = pending_flush(&p);
    queue_byte(&p, 'c', 5);
    setrlimit(RLIMIT_FSIZE, &old);

    assert_false(done);
    assert_int_equal(error, EFBIG);
    assert_false(again);
    assert_int_equal(p.written, 100);
    assert_int_equal(p.length, 25);
    assert_memory_equal(p.data, "bbbbbbbbbbbbbbbbbbbbccccc", 25);
    assert_true(pending_flush(&p));
    assert_int_equal(p.error, 0);
    assert_int_equal(p.written, 125);
    assert_file("aaaaaaaaaaaaaaa", 125);
    pending_close(&p);
}

static void an_error_that_is_no_full_disk_keeps_everything_too(void **state)
{
    (void)state;
    struct pending p = PENDING_INIT;

    queue_byte(&p, 'a', 7);
    assert_false(pending_flush(&p));
    assert_int_equal(p.error, EBADF);
    assert_int_equal(p.length, 7);
    assert_int_equal(pending_close(&p), 7);
    assert_null(p.data);
}

static void a_device_without_space_keeps_everything(void **state)
{
    (void)state;
    struct pending p = PENDING_INIT;

    p.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(p.fd >= 0);
    queue_byte(&p, 'a', 7);
    assert_false(pending_flush(&p));
    assert_int_equal(p.error, ENOSPC);
    assert_int_equal(p.length, 7);
    assert_int_equal(p.written, 0);
    pending_close(&p);
}

static void an_absurd_reservation_is_refused(void **state)
{
    (void)state;
    struct pending p = PENDING_INIT;

    queue_byte(&p, 'a', 7);
    assert_null(pending_reserve(&p, SIZE_MAX - 3));
    assert_int_equal(p.length, 7);
    pending_close(&p);
}

static void an_emptied_queue_gives_much_memory_back(void **state)
{
    (void)state;
    struct pending p = opened();

    queue_byte(&p, 'a', 5 << 20);
    assert_true(pending_flush(&p));
    assert_int_equal(p.capacity, 0);
    queue_byte(&p, 'b', 10);
    assert_true(pending_flush(&p));
    assert_true(p.capacity > 0);
    assert_file("aaaa", (5 << 20) + 10);
    pending_close(&p);
}

/* Of a burst nothing is kept but how much it took; nor is that, once one has not come. */
static void the_next_burst_has_its_room_at_once(void **state)
{
    (void)state;
    struct pending p = opened();
    size_t capacity;

    for (size_t i = 0; i < 50; i++)
        queue_byte(&p, (int)('a' + i % 2), 100 << 10);
    capacity = p.capacity;
    assert_true(capacity >= 5000 << 10);
    assert_true(pending_flush(&p));
    assert_int_equal(p.capacity, 0);
    assert_null(p.data);
    queue_byte(&p, 'c', 10);
    assert_int_equal(p.capacity, capacity);
    assert_true(pending_flush(&p)); /* there was none */
    assert_true(p.capacity > 0 && p.capacity < 1 << 20);
    assert_true(pending_flush(&p));
    queue_byte(&p, 'd', 5 << 20);
    assert_true(pending_flush(&p));
    pending_trim(&p);
    queue_byte(&p, 'e', 10);
    assert_true(p.capacity < 1 << 20);
    assert_true(pending_flush(&p));
    assert_file("aaaa", (5000 << 10) + 10 + (5 << 20) + 10);
    pending_close(&p);
}

static void what_a_checkpoint_is_lent_is_what_is_written(void **state)
{
    (void)state;
    struct pending p = opened(), loaded = PENDING_INIT;
    struct iovec parts[CARRY_PARTS_MAX];
    struct pending_place place;
    struct carry c, from;
    static uint8_t whole[200 << 10];
    size_t n = 0, count;
    int fd = open(path, O_RDONLY);

    for (int i = 0; i < 3; i++) {
        queue_byte(&p, 'a' + i, 30 << 10);
        carry_save(&c, 1 << 20);
        carry_borrow(&c);
        pending_carry(&c, &p); /* three times what is queued by then, of which the sum is kept */
        assert_int_equal(c.lent[0].crc, crc32c(0, p.data, p.length));
        count = carry_parts(&c, parts);
        for (size_t k = n = 0; k < count; n += parts[k++].iov_len)
            memcpy(whole + n, parts[k].iov_base, parts[k].iov_len);
        carry_free(&c);
    }
    carry_load(&from, whole, n);
    pending_carry(&from, &loaded);
    assert_null(from.problem);
    assert_int_equal(loaded.length, p.length);
    assert_memory_equal(loaded.data, p.data, p.length);
    assert_true(pending_flush(&p));
    place = place_of(&p);
    assert_int_equal(place.length, 90 << 10);
    assert_true(pending_is_there(fd, &place));
    flip(50 << 10);
    assert_false(pending_is_there(fd, &place));
    close(fd);
    pending_close(&loaded);
    pending_close(&p);
}

static void a_trimmed_queue_keeps_what_waits(void **state)
{
    (void)state;
    struct pending p = opened();

    queue_byte(&p, 'a', 10);
    pending_trim(&p);
    assert_int_equal(p.length, 10);
    assert_true(pending_flush(&p));
    assert_true(p.capacity > 0);
    pending_trim(&p);
    assert_int_equal(p.capacity, 0);
    assert_null(p.data);
    queue_byte(&p, 'b', 10);
    assert_int_equal(pending_close(&p), 10);
    assert_file("aaaaaaaaaa", 10);
}

static void closing_twice_is_fine(void **state)
{
    (void)state;
    struct pending p = opened();

    assert_int_equal(pending_close(&p), 0);
    assert_int_equal(pending_close(&p), 0);
}

static void what_may_not_be_on_the_disk_is_known_by_its_sum(void **state)
{
    struct pending p = opened();
    struct pending_place place, loaded = {0};
    struct carry c, from;
    int fd = open(path, O_RDONLY);

    (void)state;
    queue_byte(&p, 'a', 100000);
    assert_true(pending_flush(&p));
    pending_sync_begins(&p);
    queue_byte(&p, 'b', 50000);
    assert_true(pending_flush(&p));
    pending_synced(&p); /* but for what came since it began */
    queue_byte(&p, 'c', 3);
    assert_true(pending_flush(&p));
    carry_save(&c, 1 << 10);
    pending_carry_place(&c, &p, &place);
    carry_load(&from, c.data, c.length);
    pending_carry_place(&from, NULL, &loaded);
    carry_free(&c);
    assert_int_equal(loaded.length, 150003);
    assert_int_equal(loaded.unsynced.from, 100000);
    assert_true(pending_is_there(fd, &loaded));
    flip(99999);
    assert_true(pending_is_there(fd, &loaded)); /* that was synced: not looked at */
    for (size_t i = 0; i < 3; i++) {
        const off_t ats[] = {100000, 125000, 150002};

        flip(ats[i]);
        assert_false(pending_is_there(fd, &loaded));
        flip(ats[i]);
    }
    queue_byte(&p, 'd', 1); /* it may be longer */
    assert_true(pending_flush(&p));
    assert_true(pending_is_there(fd, &loaded));
    assert_int_equal(truncate(path, 150002), 0);
    assert_false(pending_is_there(fd, &loaded));
    loaded.unsynced.from = 150004;
    assert_false(pending_is_there(fd, &loaded));
    close(fd);
    pending_close(&p);
}

/* The sum of what is queued is taken up while it grows, and does not fit any more once some of it
 * is written, or something is put before it. */
static void the_sum_is_that_of_what_the_file_got(void **state)
{
    struct rlimit old, limit = {1000, 0};
    struct pending p = opened(), head = PENDING_INIT;
    struct pending_place place;
    int fd = open(path, O_RDONLY);

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit.rlim_max = old.rlim_max;
    queue_byte(&p, 'a', 700);
    assert_true(pending_flush(&p));
    pending_sync_begins(&p); /* from now on two sums differ */
    queue_byte(&p, 'b', 600);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_false(pending_flush(&p)); /* writes 300 of them */
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(p.length, 300);
    queue_byte(&p, 'c', 40);
    queue_byte(&head, 'd', 20);
    pending_put_before(&p, &head);
    assert_int_equal(p.length, 360);
    assert_memory_equal(p.data,
                        "dddddddddddddddddddd"
                        "bbbb",
                        24);
    place = place_of(&p);
    assert_true(pending_is_there(fd, &place));
    assert_true(pending_flush(&p));
    place = place_of(&p);
    assert_int_equal(place.unsynced.from, 0);
    assert_int_equal(place.length, 1360);
    assert_true(pending_is_there(fd, &place));
    pending_synced(&p);
    place = place_of(&p);
    assert_int_equal(place.unsynced.from, 700);
    assert_true(pending_is_there(fd, &place));
    flip(1005);
    assert_false(pending_is_there(fd, &place));
    close(fd);
    pending_close(&head);
    pending_close(&p);
}

static void what_is_there_of_the_queue_is_counted_to_the_byte(void **state)
{
    static uint8_t queued[40000];
    struct pending p = opened();
    size_t found = 0;
    int fd = open(path, O_RDONLY);

    (void)state;
    memset(queued, 'b', sizeof queued);
    queue_byte(&p, 'a', 10);
    queue_byte(&p, 'b', sizeof queued);
    assert_true(pending_flush(&p));
    assert_true(pending_found(fd, 10, queued, sizeof queued, &found));
    assert_int_equal(found, sizeof queued);
    assert_false(pending_passed(fd, 10, queued, sizeof queued));
    assert_true(pending_passed(fd, 10, queued, sizeof queued - 1));
    for (size_t i = 0; i < sizeof queued; i += 9999) {
        flip(10 + (off_t)i);
        assert_true(pending_found(fd, 10, queued, sizeof queued, &found));
        assert_int_equal(found, i);
        assert_false(pending_passed(fd, 10, queued, sizeof queued - 1));
        flip(10 + (off_t)i);
    }
    assert_int_equal(truncate(path, 20000), 0);
    assert_true(pending_found(fd, 10, queued, sizeof queued, &found));
    assert_int_equal(found, 19990);
    assert_false(pending_found(fd, 20001, queued, sizeof queued, &found));
    close(fd);
    pending_close(&p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_file, remove_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_queued_is_written_in_order),
        TEST(what_is_reserved_counts_only_once_it_is_committed),
        TEST(a_full_disk_keeps_the_exact_suffix),
        TEST(an_error_that_is_no_full_disk_keeps_everything_too),
        TEST(a_device_without_space_keeps_everything),
        TEST(an_absurd_reservation_is_refused),
        TEST(an_emptied_queue_gives_much_memory_back),
        TEST(the_next_burst_has_its_room_at_once),
        TEST(what_a_checkpoint_is_lent_is_what_is_written),
        TEST(a_trimmed_queue_keeps_what_waits),
        TEST(closing_twice_is_fine),
        TEST(what_may_not_be_on_the_disk_is_known_by_its_sum),
        TEST(the_sum_is_that_of_what_the_file_got),
        TEST(what_is_there_of_the_queue_is_counted_to_the_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
