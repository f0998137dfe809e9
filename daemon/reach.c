#include "daemon/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct block {
    uint8_t bytes[4];
    unsigned bits;
    enum reach reach;
};

/* The first that fits. RFC 6890, and two addresses of clouds' own services. */
static const struct block blocks[] = {
    {{0, 0, 0, 0}, 8, REACH_NONE},
    {{169, 254, 0, 0}, 16, REACH_NONE},
    {{192, 0, 0, 0}, 24, REACH_NONE},
    {{168, 63, 129, 16}, 32, REACH_NONE},
    {{100, 100, 100, 200}, 32, REACH_NONE},
    {{224, 0, 0, 0}, 3, REACH_NONE}, /* multicast, reserved, broadcast */
    {{127, 0, 0, 0}, 8, REACH_MACHINE},
    {{10, 0, 0, 0}, 8, REACH_PRIVATE},
    {{172, 16, 0, 0}, 12, REACH_PRIVATE},
    {{192, 168, 0, 0}, 16, REACH_PRIVATE},
    {{100, 64, 0, 0}, 10, REACH_PRIVATE},
};

static uint32_t number(const uint8_t bytes[4])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static enum reach reach_of_4(const uint8_t bytes[4])
{
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        uint32_t mask = UINT32_MAX << (32 - blocks[i].bits);

        if ((number(bytes) & mask) == number(blocks[i].bytes))
            return blocks[i].reach;
    }
    return REACH_PUBLIC;
}

static enum reach reach_of_6(const uint8_t a[16])
{
    static const uint8_t zeros[16], mapped[12] = {[10] = 0xff, [11] = 0xff},
                                    translated[12] = {0x00, 0x64, 0xff, 0x9b},
                                    metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 2, [15] = 0x54};

    if (memcmp(a, zeros, 15) == 0)
        return a[15] == 1 ? REACH_MACHINE : REACH_NONE;
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, translated, 12) == 0 || memcmp(a, zeros, 12) == 0)
        return reach_of_4(a + 12);
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
        return reach_of_4(a + 2);
    if (a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || memcmp(a, metadata, 16) == 0)
        return REACH_NONE;
    if ((a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0xc0))
        return REACH_PRIVATE;
    return REACH_PUBLIC;
}

enum reach reach_of(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    uint8_t bytes[4];

    switch (address->sa_family) {
    case AF_INET:
        memcpy(&v4, address, sizeof v4);
        memcpy(bytes, &v4.sin_addr, sizeof bytes);
        return reach_of_4(bytes);
    case AF_INET6:
        memcpy(&v6, address, sizeof v6);
        return reach_of_6(v6.sin6_addr.s6_addr);
    default:
        return REACH_NONE;
    }
}

/* ---- what a URL says */

bool reach_host(const char *url, char host[REACH_HOST_MAX + 1])
{
    const char *at = strstr(url, "://"), *end;
    size_t n;

    at = at ? at + 3 : url;
    n = strcspn(at, "/?#\\");
    if (memchr(at, '@', n))
        return false;
    if (*at == '[') {
        at++;
        end = memchr(at, ']', n - 1);
    } else {
        end = memchr(at, ':', n);
        end = end ? end : at + n;
    }
    if (!end || end == at || end - at > REACH_HOST_MAX)
        return false;
    memcpy(host, at, (size_t)(end - at));
    host[end - at] = '\0';
    return true;
}

static bool is_localhost(const char *host)
{
    size_t n = strlen(host), k = strlen("localhost");

    return n >= k && strcasecmp(host + n - k, "localhost") == 0 &&
           (n == k || host[n - k - 1] == '.');
}

enum reach reach_said(const char *url)
{
    char host[REACH_HOST_MAX + 1];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (!reach_host(url, host))
        return REACH_NONE;
    if (is_localhost(host))
        return REACH_MACHINE;
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        return reach_of((const struct sockaddr *)&v4);
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        return reach_of((const struct sockaddr *)&v6);
    return REACH_NONE;
}
