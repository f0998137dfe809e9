#include "proto/address.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char unix_scheme[] = "unix:", tcp_scheme[] = "tcp:";

static const char *parse_path(const char *path, struct address *address)
{
    size_t length = strlen(path);

    if (length == 0)
        return "the path after unix: is empty";
    if (length > ADDRESS_PATH_MAX)
        return "the path of a Unix socket has at most 107 bytes";
    if (path[length - 1] == '/')
        return "the path of a Unix socket is that of a file, not of a folder";
    memcpy(address->path, path, length + 1);
    return NULL;
}

/* Digits and nothing else, as strtol() would not insist on. */
static bool parse_port(const char *text, unsigned least, uint16_t *port)
{
    unsigned value = 0;
    size_t n = strspn(text, "0123456789");

    if (n == 0 || n > 5 || text[n] != '\0')
        return false;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *port = (uint16_t)value;
    return value >= least && value <= UINT16_MAX;
}

static bool is_host(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr("[]/@", text[i]))
            return false;
    return true;
}

/* What is left of the colon before the port, with the brackets of an IPv6 address. */
static const char *parse_host(const char *text, size_t n, struct address *address)
{
    bool brackets = n >= 2 && text[0] == '[' && text[n - 1] == ']';

    if (brackets) {
        text++;
        n -= 2;
    }
    if (n == 0)
        return "the host is empty: 0.0.0.0 or [::] is all of this machine's";
    if (n > ADDRESS_HOST_MAX)
        return "a host's name has at most 253 bytes";
    if (!is_host(text, n))
        return "a host is a name, an IPv4 address, or an IPv6 address in brackets";
    if (brackets != (memchr(text, ':', n) != NULL))
        return "an IPv6 address, and nothing else, stands in brackets: tcp:[::1]:9000";
    memcpy(address->host, text, n);
    return NULL;
}

static const char *parse_tcp(const char *text, unsigned least_port, struct address *address)
{
    const char *colon = strrchr(text, ':');

    if (!colon || !parse_port(colon + 1, least_port, &address->port))
        return least_port > 0 ? "a tcp address ends with a port, 1 to 65535: tcp:HOST:PORT"
                              : "a tcp address ends with a port, 0 to 65535: tcp:HOST:PORT";
    return parse_host(text, (size_t)(colon - text), address);
}

static const char *parse(const char *text, unsigned least_port, struct address *address)
{
    *address = (struct address){0};
    if (strncmp(text, unix_scheme, sizeof unix_scheme - 1) == 0)
        return parse_path(text + sizeof unix_scheme - 1, address);
    if (strncmp(text, tcp_scheme, sizeof tcp_scheme - 1) == 0)
        return parse_tcp(text + sizeof tcp_scheme - 1, least_port, address);
    return "an address is unix:PATH or tcp:HOST:PORT";
}

const char *address_parse(const char *text, struct address *address)
{
    return parse(text, 1, address);
}

const char *address_parse_listen(const char *text, struct address *address)
{
    return parse(text, 0, address);
}

_Static_assert(ADDRESS_TEXT_MAX >= sizeof unix_scheme + ADDRESS_PATH_MAX, "either fits");

const char *address_text(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
    const char *host = address->host;
    bool brackets = strchr(host, ':') != NULL;

    if (address_is_tcp(address))
        snprintf(text, ADDRESS_TEXT_MAX, "%s%s%s%s:%u", tcp_scheme, brackets ? "[" : "", host,
                 brackets ? "]" : "", address->port);
    else
        snprintf(text, ADDRESS_TEXT_MAX, "%s%s", *address->path ? unix_scheme : "", address->path);
    return text;
}

const char *address_list(const struct address *addresses, const char *const *reasons, size_t count,
                         char *text, size_t size)
{
    char one[ADDRESS_TEXT_MAX];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        bool other = strcmp(reasons[i], reasons[count - 1]) != 0;
        const char *join = i == 0 ? "" : i + 1 < count ? ", " : " or ";

        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s%s", join,
                                 address_text(&addresses[i], one), other ? " (" : "",
                                 other ? reasons[i] : "", other ? ")" : "");
    }
    return text;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return strcmp(a->path, b->path) == 0 && strcmp(a->host, b->host) == 0 && a->port == b->port;
}

/* Appends a path, unless it is too long or already there (XDG_RUNTIME_DIR is mostly
 * /run/user/<euid>): nobody needs to try a socket twice. */
__attribute__((format(printf, 3, 4))) static size_t append(struct address *addresses, size_t count,
                                                           const char *format, ...)
{
    struct address *to = &addresses[count];
    va_list arguments;
    int length;

    *to = (struct address){0};
    va_start(arguments, format);
    length = vsnprintf(to->path, sizeof to->path, format, arguments);
    va_end(arguments);
    if (length <= 0 || (size_t)length >= sizeof to->path)
        return count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(addresses[i].path, to->path) == 0)
            return count;
    return count + 1;
}

/* The value of a variable that names a folder, without '/' at its end; NULL when there is none or
 * it is relative, which the XDG specification says to ignore. */
static const char *folder(const char *variable, int *length)
{
    const char *value = getenv(variable);
    size_t n;

    if (!value || value[0] != '/')
        return NULL;
    n = strnlen(value, ADDRESS_PATH_MAX + 1);
    while (n > 0 && value[n - 1] == '/')
        n--;
    *length = (int)n;
    return value;
}

size_t address_defaults(struct address addresses[ADDRESS_DEFAULTS_MAX])
{
    char host[256] = "";
    const char *path;
    size_t count = 0;
    int length;

    path = folder("XDG_RUNTIME_DIR", &length);
    if (path)
        count = append(addresses, count, "%.*s/embmond.sock", length, path);
    count = append(addresses, count, "/run/user/%lu/embmond.sock", (unsigned long)geteuid());
    path = folder("HOME", &length);
    if (path && gethostname(host, sizeof host - 1) == 0 && host[0] != '\0' && !strchr(host, '/'))
        count = append(addresses, count, "%.*s/.embmond/%s.sock", length, path, host);
    return count;
}
