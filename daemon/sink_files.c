#include "daemon/sink_files.h"

#include "daemon/exec_sink.h"
#include "daemon/webhook.h"

size_t sink_files(const struct sink_options *options)
{
    return options->kind == SINK_EXEC ? EXEC_FILES : WEBHOOK_FILES;
}

size_t sink_files_all(const struct sink_options *options, size_t count, uint64_t files)
{
    size_t all = 0, one = 0;

    for (size_t i = 0; i < count; i++) {
        size_t its = sink_files(&options[i]);

        all += options[i].kind == SINK_EXEC ? EXEC_AT_ONCE * its : its;
        one = its > one ? its : one;
    }
    if (files == 0 || all <= files / 4)
        return all;
    return files / 4 > one ? (size_t)(files / 4) : one;
}
