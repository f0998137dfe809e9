/* JSON out, through jansson: non-finite numbers become the strings "nan", "inf" and "-inf". */
#ifndef EMBMON_DAEMON_JSON_H
#define EMBMON_DAEMON_JSON_H

#include <jansson.h>

#include "daemon/alert/change.h"

/* A number, or the string of a non-finite one. New reference, NULL when out of memory. */
json_t *json_from_double(double value);

/* A string; one that is not UTF-8 (a folder's name may be anything) keeps its ASCII, '?' for the
 * rest. New reference, NULL when out of memory. */
json_t *json_text(const char *text);

/* The object of alerts.jsonl (embmond(8)), all fields always present. New reference. */
json_t *json_alert(const struct alert_change *change);

/* One line without its newline; the caller frees it. NULL when out of memory. Takes no reference.
 */
char *json_line(const json_t *value);

#endif
