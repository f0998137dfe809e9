#include "daemon/webhook_rules.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *webhook_url(const struct sink_options *options)
{
    static const char path[] = "/api/v2/alerts";
    size_t n = strlen(options->url);
    char *url;

    if (options->format != WEBHOOK_API_V2)
        return strdup(options->url);
    while (n > 0 && options->url[n - 1] == '/')
        n--;
    if (n >= strlen(path) && strncmp(options->url + n - strlen(path), path, strlen(path)) == 0)
        n -= strlen(path);
    return asprintf(&url, "%.*s%s", (int)n, options->url, path) < 0 ? NULL : url;
}

enum outbox_outcome webhook_outcome(long status)
{
    if (status >= 200 && status < 300)
        return OUTBOX_DELIVERED;
    switch (status) {
    case 401: /* these can be mended at the receiver, or pass */
    case 403:
    case 404:
    case 408:
    case 425:
    case 429:
        return OUTBOX_FAILED;
    default:
        return status >= 400 && status < 500 ? OUTBOX_REFUSED : OUTBOX_FAILED;
    }
}

static bool may_connect_4(const uint8_t a[4])
{
    bool unspecified = a[0] == 0, link_local = a[0] == 169 && a[1] == 254;

    return !unspecified && !link_local && a[0] < 224; /* multicast, reserved, broadcast */
}

bool webhook_may_connect(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        uint8_t bytes[4];

        memcpy(&v4, address, sizeof v4);
        memcpy(bytes, &v4.sin_addr, sizeof bytes);
        return may_connect_4(bytes);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;

        memcpy(&v6, address, sizeof v6);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
            return may_connect_4(v6.sin6_addr.s6_addr + 12);
        return !IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr) && !IN6_IS_ADDR_MULTICAST(&v6.sin6_addr) &&
               !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
    }
    return false;
}

/* The bytes of a small plain file; -1 with errno. A FIFO's writer is not waited for. */
static ssize_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
    struct stat st;
    ssize_t n = -1;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        n = read(fd, text, size);
    else
        errno = EINVAL;
    error = errno;
    (void)close(fd);
    errno = error;
    return n;
}

char *webhook_token(const char *path, char problem[WEBHOOK_PROBLEM_MAX])
{
    char text[WEBHOOK_TOKEN_MAX + 1], *token = text;
    ssize_t n = read_file(path, text, WEBHOOK_TOKEN_MAX);
    bool fine = n < WEBHOOK_TOKEN_MAX;

    if (n < 0) {
        snprintf(problem, WEBHOOK_PROBLEM_MAX, "cannot read the token file %.150s: %s", path,
                 strerror(errno));
        return NULL;
    }
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    text[n] = '\0';
    while (isspace((unsigned char)*token))
        token++;
    for (const char *c = token; *c; c++)
        fine = fine && isgraph((unsigned char)*c); /* else it cannot stand in a header */
    if (!fine || *token == '\0' || strlen(text) != (size_t)n) {
        snprintf(problem, WEBHOOK_PROBLEM_MAX,
                 "the token file %.150s must hold one word of at most 4095 ASCII characters", path);
        return NULL;
    }
    return strdup(token);
}
