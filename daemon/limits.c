#include "daemon/limits.h"

#include <string.h>

#include "daemon/registry.h"
#include "daemon/run.h"

/* What of the runs is not counted as it happens. */
static struct usage usage_of(struct registry *registry)
{
    struct usage usage = *registry_usage(registry);

    usage.runs.used = registry_runs(registry);
    usage.ranks.used = usage.layers.used = usage.all_layers.used = usage.run_bytes.used = 0;
    usage.alerts.used = 0;
    usage.file_bytes = (struct gauge){0};
    for (size_t i = 0; i < registry_runs(registry); i++) {
        struct run_status status;

        run_get_status(registry_run(registry, i), &status);
        gauge_most(&usage.ranks, status.ranks);
        gauge_most(&usage.layers, status.layers);
        gauge_most(&usage.run_bytes, status.bytes);
        gauge_most(&usage.alerts, status.alerts);
        gauge_most(&usage.file_bytes, status.file_bytes);
        usage.file_bytes.refused += status.files > 0 ? status.files - 1 : 0;
        usage.all_layers.used += status.layers;
    }
    return usage;
}

static bool is_duration(const char *name)
{
    static const char ending[] = "_seconds";
    size_t n = strlen(name), k = strlen(ending);

    return n > k && strcmp(name + n - k, ending) == 0;
}

/* 0, or -1: out of memory. */
static int add(json_t *object, const char *name, const struct gauge *gauge, uint64_t limit)
{
    json_t *used = is_duration(name) ? json_null() : json_integer((json_int_t)gauge->used);

    return json_object_set_new(object, name,
                               json_pack("{sosIsI}", "used", used, "limit", (json_int_t)limit,
                                         "refused", (json_int_t)gauge->refused));
}

json_t *limits_object(struct registry *registry)
{
    const struct ceilings *ceilings = registry_ceilings(registry);
    const struct usage usage = usage_of(registry);
    json_t *object = json_object();
    int failed = object == NULL;

#define ADD(name, least, most, standard) failed |= add(object, #name, &usage.name, ceilings->name);
    CEILINGS(ADD)
#undef ADD
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}
