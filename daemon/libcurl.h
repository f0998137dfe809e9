/* libcurl, loaded when a webhook is configured: embmond starts without it. */
#ifndef EMBMON_DAEMON_LIBCURL_H
#define EMBMON_DAEMON_LIBCURL_H

#include <curl/curl.h>
#include <stdbool.h>

/* The functions we call, X(name) for curl_name. */
#define LIBCURL_FUNCTIONS(X)                                                                       \
    X(global_init)                                                                                 \
    X(global_cleanup)                                                                              \
    X(easy_init)                                                                                   \
    X(easy_setopt)                                                                                 \
    X(easy_getinfo)                                                                                \
    X(easy_strerror)                                                                               \
    X(easy_cleanup)                                                                                \
    X(multi_init)                                                                                  \
    X(multi_setopt)                                                                                \
    X(multi_assign)                                                                                \
    X(multi_add_handle)                                                                            \
    X(multi_remove_handle)                                                                         \
    X(multi_socket_action)                                                                         \
    X(multi_info_read)                                                                             \
    X(multi_cleanup)                                                                               \
    X(slist_append)                                                                                \
    X(slist_free_all)

#define LIBCURL_MEMBER(name) __typeof__(curl_##name) *name;
struct libcurl {
    LIBCURL_FUNCTIONS(LIBCURL_MEMBER)
};
#undef LIBCURL_MEMBER

enum { LIBCURL_PROBLEM_MAX = 256 };

/* Fills the table. False: problem says what is missing and which package has it. It stays loaded
 * until the process ends: what it links leaves handlers behind that run at exit. */
bool libcurl_load(struct libcurl *curl, char problem[LIBCURL_PROBLEM_MAX]);

/* The same from a library of another name, for tests. */
bool libcurl_load_from(struct libcurl *curl, const char *library,
                       char problem[LIBCURL_PROBLEM_MAX]);

#endif
