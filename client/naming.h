/* What a client calls its run and its launch, and where it looks for the daemon. Reads the
 * environment: only while the client is opened, for other threads may change it later. */
#ifndef EMBMON_CLIENT_NAMING_H
#define EMBMON_CLIENT_NAMING_H

#include <stddef.h>
#include <time.h>

#include "proto/address.h"
#include "proto/name.h"
#include "proto/token.h"

enum { NAMING_KEY_MAX = 255 };

/* The wanted name of the run: the option, else EMBMON_RUN, else
 * <program>-<YYYYmmdd>-<HHMMSS>-<pid>. Returns 0, or EMBMON_ENAME with `to` untouched. */
int naming_run(char to[NAME_RUN_MAX + 1], const char *option, const char *program, time_t now,
               long pid);

/* What the launcher calls this launch, the same on all ranks: EMBMON_RUN, TORCHELASTIC_RUN_ID
 * unless "none", SLURM_JOB_ID, else "". One that is not text of at most 255 bytes is passed over.
 */
void naming_key(char to[NAMING_KEY_MAX + 1]);

/* The option, else EMBMON_ADDRESS, else the defaults. Returns how many, or EMBMON_EADDRESS. */
int naming_addresses(struct address addresses[ADDRESS_DEFAULTS_MAX], const char *option);

/* What the file holds that the option names, else EMBMON_TOKEN_FILE; neither: an empty token.
 * Returns 0 or EMBMON_ETOKEN. */
int naming_token(struct token *token, const char *option);

#endif
