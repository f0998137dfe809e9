#include "daemon/places.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/listen_tcp.h"
#include "daemon/log.h"
#include "daemon/supervisor.h"

int places_token(const struct config *config, const struct address *listen, size_t count,
                 struct token *token, char problem[LISTEN_PROBLEM_MAX])
{
    const char *wrong = config->token_file ? token_read(token, config->token_file) : NULL;
    int status = 0;

    if (wrong) {
        snprintf(problem, LISTEN_PROBLEM_MAX, "the token file %.200s: %s", config->token_file,
                 wrong);
        return EX_CONFIG;
    }
    if (!config->token_file)
        token_forget(token);
    for (size_t i = 0; i < count && status == 0; i++)
        if (address_is_tcp(&listen[i]) && !config->token_file)
            status = listener_check_tcp(&listen[i], false, problem);
    return status;
}

static int open_listener(const struct places *places, struct listener *listener,
                         const struct address *address, char problem[LISTEN_PROBLEM_MAX])
{
    return address_is_tcp(address)
               ? listener_open_tcp(listener, address, places->token.length > 0, problem)
               : listener_open(listener, address, problem);
}

int places_open(struct places *places, const struct config *config, size_t handed,
                char problem[LISTEN_PROBLEM_MAX])
{
    size_t given = config->listen_count, count = given ? given : handed ? handed : 1;
    int status = places_token(config, config->listen, given, &places->token, problem);

    for (size_t i = 0; i < count && i < CONFIG_LISTEN_MAX && status == 0; i++) {
        struct listener *listener = &places->listeners[i];
        if (given)
            status = open_listener(places, listener, &config->listen[i], problem);
        else if (handed)
            status = listener_adopt(listener, SUPERVISOR_FIRST_FD + (int)i, problem);
        else if (config->command)
            status = listener_open_private(listener, problem);
        else
            status = listener_open_default(listener, problem);
        places->count += status == 0;
    }
    return status;
}

void places_close(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        listener_close(&places->listeners[i]);
    places->count = 0;
    token_forget(&places->token);
}

/* A private socket is for COMMAND, which is root where we are. */
static bool is_shared(const struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        if (!address_is_tcp(&places->listeners[i].address) && !places->listeners[i].own_folder)
            return true;
    return false;
}

void places_say(const struct places *places, const char *logdir)
{
    bool tcp = false, token = places->token.length > 0;
    char text[ADDRESS_TEXT_MAX];

    if (geteuid() == 0 && is_shared(places))
        log_warn("running as root: only trainers that run as root can connect to its Unix sockets");
    for (size_t i = 0; i < places->count; i++) {
        const struct address *address = &places->listeners[i].address;

        log_info("listening on %s, writing to %s", address_text(address, text), logdir);
        if (address_is_tcp(address) && !token)
            log_warn("%s has no token: every user of this machine can post there, and ask; "
                     "--token-file FILE keeps them out",
                     text);
        tcp |= address_is_tcp(address);
    }
    if (token && !tcp)
        log_warn("the token guards nothing: no tcp address is served");
}

/* At a socket of its own user, else over tcp. */
static const struct address *best(const struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        if (!address_is_tcp(&places->listeners[i].address))
            return &places->listeners[i].address;
    return &places->listeners[0].address;
}

void places_for_command(const struct places *places, char text[PLACES_TEXT_MAX])
{
    const struct address *address = best(places);
    char folder[PATH_MAX], own[ADDRESS_TEXT_MAX];

    if (!address_is_tcp(address) && address->path[0] != '/' && getcwd(folder, sizeof folder))
        snprintf(text, PLACES_TEXT_MAX, "unix:%s/%s", folder, address->path);
    else
        snprintf(text, PLACES_TEXT_MAX, "%s", address_text(address, own));
}
