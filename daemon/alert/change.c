#include "daemon/alert/change.h"

#include "embmon/embmon.h"

const char *phase_name(uint32_t phase)
{
    switch (phase) {
    case EMBMON_TRAIN:
        return "training";
    case EMBMON_VALIDATE:
        return "validation";
    case EMBMON_INFER:
        return "inference";
    default:
        return "unknown";
    }
}

const char *severity_name(uint32_t severity)
{
    switch (severity) {
    case EMBMON_INFO:
        return "info";
    case EMBMON_WARNING:
        return "warning";
    case EMBMON_CRITICAL:
        return "critical";
    default:
        return "unknown";
    }
}

const char *state_name(uint32_t state)
{
    switch (state) {
    case EMBMON_RESOLVED:
        return "resolved";
    case EMBMON_PENDING:
        return "pending";
    case EMBMON_FIRING:
        return "firing";
    default:
        return "unknown";
    }
}
