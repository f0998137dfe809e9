#include "proto/tcp.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

enum { KEEPALIVE_IDLE_S = 5, KEEPALIVE_EVERY_S = 2, KEEPALIVE_PROBES = 3 };

size_t tcp_resolve(const struct address *address, struct tcp_name names[TCP_NAMES_MAX],
                   const char **problem)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found = NULL;
    char port[8];
    size_t count = 0;
    int error;

    snprintf(port, sizeof port, "%u", address->port);
    error = getaddrinfo(address->host, port, &hints, &found);
    if (error == EAI_NONAME) {
        hints.ai_flags = 0;
        error = getaddrinfo(address->host, port, &hints, &found);
    }
    if (error) {
        *problem = gai_strerror(error);
        return 0;
    }
    for (struct addrinfo *a = found; a && count < TCP_NAMES_MAX; a = a->ai_next)
        if (a->ai_addrlen <= sizeof names->name) {
            memcpy(&names[count].name, a->ai_addr, a->ai_addrlen);
            names[count++].length = a->ai_addrlen;
        }
    freeaddrinfo(found);
    if (count == 0)
        *problem = "the host has no address";
    return count;
}

bool tcp_is_loopback(const struct tcp_name *name)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&name->name;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&name->name;

    if (name->name.ss_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return name->name.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

struct address tcp_address(const struct tcp_name *name)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&name->name;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&name->name;
    struct address address = {0};

    if (getnameinfo((const struct sockaddr *)&name->name, name->length, address.host,
                    sizeof address.host, NULL, 0, NI_NUMERICHOST) != 0)
        return (struct address){0};
    address.port = ntohs(name->name.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
    return address;
}

void tcp_tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
    };

    /* Without them all is slower, nothing is wrong. */
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}
