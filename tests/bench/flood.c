/* Trainers that post as fast as embmond takes it in, for tests/bench/daemon.py.
 *
 *     flood SOCKET CONNECTIONS LAYERS WARM STEPS    the ranks of one run
 *     flood --deaf SOCKET LAYERS STEPS              the same bytes to who answers nothing
 *     flood --sink SOCKET                           who only reads, and adds up what it has read
 *
 * After WARM steps it says "warm" and waits for a line, after STEPS more "done" and the seconds
 * they took, and waits again: whoever asks looks at the daemon's time meanwhile. What was posted is
 * taken in when the heartbeat behind it is answered. */
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/frames.h"

enum { CHUNK = 64 << 10, READ = 256 << 10 };

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void write_all(int fd, const uint8_t *data, size_t n)
{
    while (n > 0) {
        ssize_t some = write(fd, data, n);

        if (some <= 0)
            frames_die("write");
        data += some;
        n -= (size_t)some;
    }
}

static struct sockaddr_un name_of(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    strncpy(name.sun_path, path, sizeof name.sun_path - 1);
    return name;
}

static int connect_to(const char *path)
{
    struct sockaddr_un name = name_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&name, sizeof name) < 0)
        frames_die(path);
    return fd;
}

/* ---- who only reads */

static int sink(const char *path)
{
    static uint64_t buffer[CHUNK / 8];
    struct sockaddr_un name = name_of(path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
    uint64_t sum = 0, bytes = 0;
    ssize_t n;

    if (listener < 0 || bind(listener, (const struct sockaddr *)&name, sizeof name) < 0 ||
        listen(listener, 1) < 0)
        frames_die(path);
    printf("listening\n");
    fflush(stdout);
    fd = accept(listener, NULL, NULL);
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < n / 8; i++)
            sum += buffer[i];
        bytes += (uint64_t)n;
    }
    printf("%.9f %llu %llu\n", seconds(CLOCK_PROCESS_CPUTIME_ID), (unsigned long long)bytes,
           (unsigned long long)sum);
    return 0;
}

/* ---- who posts */

struct flood {
    int *fds;
    size_t connections, held; /* bytes in the buffer */
    struct frames *frames;    /* of each connection */
    uint8_t *buffer;
    bool deaf;
};

static void post(struct flood *flood, long steps)
{
    for (long step = 0; step < steps; step++) {
        for (size_t c = 0; c < flood->connections; c++) {
            flood->held += frames_step(&flood->frames[c], flood->buffer + flood->held);
            if (flood->connections == 1 && flood->held < CHUNK && step + 1 < steps)
                continue;
            write_all(flood->fds[c], flood->buffer, flood->held);
            flood->held = 0;
        }
    }
}

/* Reads until a frame of this type has come. */
static void await(int fd, uint16_t type)
{
    static uint8_t buffer[READ];
    static size_t held; /* nothing is left behind what is awaited: the daemon only answers */

    for (;;) {
        size_t at = 0;
        ssize_t n;

        while (held - at >= FRAME_HEADER) {
            uint32_t length;
            uint16_t got;

            memcpy(&got, buffer + at + 6, sizeof got);
            memcpy(&length, buffer + at + 8, sizeof length);
            if (held - at < FRAME_HEADER + length)
                break;
            at += FRAME_HEADER + length;
            if (got == FRAME_NACK) {
                fprintf(stderr, "flood: a post was refused\n");
                exit(1);
            }
            if (got == type) {
                held = 0;
                return;
            }
        }
        memmove(buffer, buffer + at, held - at);
        held -= at;
        n = read(fd, buffer + held, sizeof buffer - held);
        if (n <= 0)
            frames_die("the daemon's answer");
        held += (size_t)n;
    }
}

static void settle(struct flood *flood)
{
    const struct message beat = {.type = FRAME_HEARTBEAT};
    uint8_t frame[64];
    size_t n = message_encode(&beat, frame);

    for (size_t c = 0; c < flood->connections && !flood->deaf; c++)
        write_all(flood->fds[c], frame, n);
    for (size_t c = 0; c < flood->connections && !flood->deaf; c++)
        await(flood->fds[c], FRAME_HEARTBEAT);
}

static void say(const char *what, double value)
{
    char line[16];

    printf("%s %.9f\n", what, value);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(1);
}

static void open_all(struct flood *flood, const char *path, size_t layers)
{
    uint8_t *greeting = malloc(layers * 128 + 1024);

    flood->fds = calloc(flood->connections, sizeof *flood->fds);
    flood->frames = calloc(flood->connections, sizeof *flood->frames);
    if (!greeting || !flood->fds || !flood->frames)
        frames_die("memory");
    for (size_t c = 0; c < flood->connections; c++) {
        frames_make(&flood->frames[c], layers);
        flood->fds[c] = connect_to(path);
        if (flood->deaf)
            continue;
        write_all(
            flood->fds[c], greeting,
            frames_greeting(greeting, "flood", (uint32_t)c, (uint32_t)flood->connections, layers));
        await(flood->fds[c], FRAME_WELCOME);
    }
    flood->buffer = malloc(CHUNK + frames_step_size(&flood->frames[0]));
    if (!flood->buffer)
        frames_die("memory");
    free(greeting);
}

int main(int argc, char **argv)
{
    struct flood flood = {.deaf = argc == 5 && strcmp(argv[1], "--deaf") == 0};
    char **a = argv + (flood.deaf ? 2 : 1);
    double began;

    if (argc == 3 && strcmp(argv[1], "--sink") == 0)
        return sink(argv[2]);
    if (argc != (flood.deaf ? 5 : 6)) {
        fprintf(stderr, "usage: see tests/bench/flood.c\n");
        return 2;
    }
    flood.connections = flood.deaf ? 1 : strtoul(a[1], NULL, 10);
    open_all(&flood, a[0], strtoul(a[flood.deaf ? 1 : 2], NULL, 10));
    if (!flood.deaf) {
        post(&flood, strtol(a[3], NULL, 10));
        settle(&flood);
        say("warm", 0);
    }
    began = seconds(CLOCK_MONOTONIC);
    post(&flood, strtol(a[flood.deaf ? 2 : 4], NULL, 10));
    settle(&flood);
    say("done", seconds(CLOCK_MONOTONIC) - began);
    return 0; /* and the system frees and closes what is left */
}
