/* Addresses, the same at both ends: "unix:PATH", "tcp:HOST:PORT", "tcp:[IPV6]:PORT". */
#ifndef EMBMON_PROTO_ADDRESS_H
#define EMBMON_PROTO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ADDRESS_PATH_MAX = 107,
    ADDRESS_HOST_MAX = 253,                   /* a longer name is none, and some resolvers cut it */
    ADDRESS_TEXT_MAX = ADDRESS_HOST_MAX + 13, /* with its NUL */
    ADDRESS_DEFAULTS_MAX = 3,
    ADDRESS_LIST_MAX = 1000 /* three Unix sockets and 200 bytes for each reason */
};

/* NUL-terminated; the one that does not apply is empty. */
struct address {
    char path[ADDRESS_PATH_MAX + 1]; /* of a Unix socket */
    char host[ADDRESS_HOST_MAX + 1]; /* of tcp: a name or a number, without brackets */
    uint16_t port;
};

static inline bool address_is_tcp(const struct address *address)
{
    return address->host[0] != '\0';
}

/* Returns NULL and *address, or a static sentence on what is wrong with the text. No name is looked
 * up. */
const char *address_parse(const char *text, struct address *address);

/* The same for an address to listen at: port 0 stands for any that is free. */
const char *address_parse_listen(const char *text, struct address *address);

/* Writes it as it is parsed; returns the text. An address of nothing is "". */
const char *address_text(const struct address *address, char text[ADDRESS_TEXT_MAX]);

/* Addresses that were tried, and why each was in vain, but for what holds of the last one, which is
 * for the caller to add: "unix:/a (it belongs to another user), unix:/b or unix:/c". What does not
 * fit is cut. Returns the text. */
const char *address_list(const struct address *addresses, const char *const *reasons, size_t count,
                         char *text, size_t size);

bool address_equal(const struct address *a, const struct address *b);

/* The default addresses in the order both ends try them:
 *   $XDG_RUNTIME_DIR/embmond.sock, /run/user/<euid>/embmond.sock, $HOME/.embmond/<hostname>.sock
 * Those whose variable is not set or whose path is too long are left out. Returns how many. */
size_t address_defaults(struct address addresses[ADDRESS_DEFAULTS_MAX]);

#endif
