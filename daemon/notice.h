/* A change of an alert as the message that tells a trainer of it. */
#ifndef EMBMON_DAEMON_NOTICE_H
#define EMBMON_DAEMON_NOTICE_H

#include "daemon/alert/change.h"
#include "proto/message.h"

/* Its strings are those of the change. */
struct msg_notice notice_of(const struct alert_change *change);

#endif
