#include "client/tensorflow_api.h"

#include <dlfcn.h>
#include <string.h>

#include "embmon/embmon.h"

bool tensorflow_api_find(struct tensorflow_api *api, void *library)
{
    void *found;

    /* ISO C has no conversion from an object's pointer to a function's. */
#define TENSORFLOW_FIND(result, name, arguments)                                                   \
    found = dlsym(library, "TF_" #name);                                                           \
    if (!found)                                                                                    \
        return false;                                                                              \
    memcpy(&api->name, &found, sizeof found);
    TENSORFLOW_FUNCTIONS(TENSORFLOW_FIND)
#undef TENSORFLOW_FIND
    return true;
}

int tensorflow_dtype(int type)
{
    switch (type) {
    case 1:
        return EMBMON_F32;
    case 2:
        return EMBMON_F64;
    case 3:
        return EMBMON_I32;
    case 5:
        return EMBMON_I16;
    case 6:
        return EMBMON_I8;
    case TENSORFLOW_INT64:
        return EMBMON_I64;
    case 14:
        return EMBMON_BF16;
    case 19:
        return EMBMON_F16;
    default:
        return 0;
    }
}
