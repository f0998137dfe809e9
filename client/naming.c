#include "client/naming.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embmon/embmon.h"

/* An empty variable is as good as none. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_.=+-", c));
}

int naming_run(char to[NAME_RUN_MAX + 1], const char *option, const char *program, time_t now,
               long pid)
{
    const char *wanted = option ? option : environment("EMBMON_RUN");
    struct tm local;
    char date[32], word[64];
    size_t n = 0;

    if (wanted) {
        if (!name_is_run(wanted))
            return EMBMON_ENAME;
        memcpy(to, wanted, strlen(wanted) + 1);
        return 0;
    }
    for (; n < sizeof word - 1 && program[n]; n++)
        word[n] = is_name_byte(program[n]) ? program[n] : '_';
    word[n] = '\0';
    if (n == 0)
        strcpy(word, "run");
    else if (strchr(".=+-", word[0])) /* a name begins with a letter, a digit or '_' */
        word[0] = '_';
    if (!localtime_r(&now, &local) || strftime(date, sizeof date, "%Y%m%d-%H%M%S", &local) == 0)
        strcpy(date, "00000000-000000");
    snprintf(to, NAME_RUN_MAX + 1, "%s-%s-%ld", word, date, pid);
    return 0;
}

static bool take_key(char to[NAMING_KEY_MAX + 1], const char *value)
{
    size_t n = value ? strlen(value) : 0;

    if (n == 0 || n > NAMING_KEY_MAX || !name_is_text(value, n))
        return false;
    memcpy(to, value, n + 1);
    return true;
}

void naming_key(char to[NAMING_KEY_MAX + 1])
{
    const char *elastic = environment("TORCHELASTIC_RUN_ID");

    if (elastic && strcmp(elastic, "none") == 0)
        elastic = NULL;
    to[0] = '\0';
    if (take_key(to, environment("EMBMON_RUN")) || take_key(to, elastic))
        return;
    take_key(to, environment("SLURM_JOB_ID"));
}

int naming_addresses(struct address addresses[ADDRESS_DEFAULTS_MAX], const char *option)
{
    const char *text = option ? option : environment("EMBMON_ADDRESS");

    if (!text)
        return (int)address_defaults(addresses);
    return address_parse(text, &addresses[0]) ? EMBMON_EADDRESS : 1;
}

int naming_token(struct token *token, const char *option)
{
    const char *path = option ? option : environment("EMBMON_TOKEN_FILE");

    token->length = 0;
    return path && token_read(token, path) ? EMBMON_ETOKEN : 0;
}
