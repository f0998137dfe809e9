#include "daemon/libcurl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct function {
    const char *name;
    size_t place; /* of the pointer in struct libcurl */
};

#define LIBCURL_ROW(name) {"curl_" #name, offsetof(struct libcurl, name)},
static const struct function functions[] = {LIBCURL_FUNCTIONS(LIBCURL_ROW)};

bool libcurl_load_from(struct libcurl *curl, const char *library, char problem[LIBCURL_PROBLEM_MAX])
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

    if (!handle) {
        const char *why = dlerror();
        snprintf(problem, LIBCURL_PROBLEM_MAX,
                 "webhooks need %s: %.120s: install the package libcurl4", library,
                 why ? why : "not found");
        return false;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *function = dlsym(handle, functions[i].name);

        if (!function) {
            snprintf(problem, LIBCURL_PROBLEM_MAX,
                     "webhooks need %s, but this %s has no %s: install the package libcurl4",
                     functions[i].name, library, functions[i].name);
            return false;
        }
        memcpy((char *)curl + functions[i].place, &function, sizeof function);
    }
    return true;
}

bool libcurl_load(struct libcurl *curl, char problem[LIBCURL_PROBLEM_MAX])
{
    return libcurl_load_from(curl, "libcurl.so.4", problem);
}
