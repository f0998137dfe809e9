#include "daemon/tensorboard/board_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/json.h"
#include "daemon/tensorboard/tags.h"
#include "proto/name.h"

enum { FILTER_MAX = 2 * NAME_RUN_MAX + 64 }; /* every character of a name may need a backslash */

/* The name as a regular expression that matches just it. */
static void escape(char to[FILTER_MAX], const char *name)
{
    size_t used = 0;

    for (; *name && used + 3 < FILTER_MAX; name++) {
        if (strchr("\\^$.|?*+()[]{}", *name))
            to[used++] = '\\';
        to[used++] = *name;
    }
    to[used] = '\0';
}

/* Appends "&name=value", the value percent-encoded. False: out of memory. */
static bool add_parameter(FILE *url, const char *name, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~";

    fprintf(url, "%s=", name);
    for (; *value; value++) {
        if (strchr(plain, *value))
            fputc(*value, url);
        else
            fprintf(url, "%%%02X", (unsigned)(unsigned char)*value);
    }
    return ferror(url) == 0;
}

/* ---- what is pinned */

static int pin(json_t *cards, const char *plugin, const char *tag, const char *run)
{
    json_t *card = json_pack("{s:s, s:o}", "plugin", plugin, "tag", json_text(tag));

    /* TensorBoard shows a scalar of all runs in one card, and has a card for each run's histogram.
     * The experiment of a TensorBoard that serves a folder has this name. */
    if (card && run) {
        char id[NAME_RUN_MAX + 64];
        snprintf(id, sizeof id, "defaultExperimentId/%s/embmon", run);
        json_object_set_new(card, "runId", json_text(id));
    }
    return json_array_append_new(cards, card);
}

/* The curve an alert of this signal is seen in; NULL: none but the alert's own. */
static const char *curve_of(const char *signal)
{
    if (strcmp(signal, "gradient") == 0)
        return "gradient_norm/";
    if (strcmp(signal, "activation") == 0)
        return "nonfinite/";
    if (strcmp(signal, "update") == 0)
        return "update_ratio/";
    return NULL;
}

static json_t *cards_of(const struct alert_change *c)
{
    json_t *cards = json_array();
    const char *curve = *c->layer ? curve_of(c->signal) : NULL;
    char tag[TAG_MAX];
    int failed = cards == NULL;

    if (curve)
        failed |= pin(cards, "scalars", tag_make(tag, c->phase, "%s%s", curve, c->layer), NULL);
    else if (strcmp(c->signal, "loss") == 0)
        failed |= pin(cards, "scalars", tag_make(tag, c->phase, "loss"), NULL);
    failed |=
        pin(cards, "scalars",
            tag_make(tag, c->phase, "alerts/%s%s%s", c->detector, *c->layer ? "/" : "", c->layer),
            NULL);
    if (curve && strcmp(c->signal, "gradient") == 0)
        failed |= pin(cards, "histograms", tag_make(tag, c->phase, "anomaly/%s", c->layer), c->run);
    if (failed) {
        json_decref(cards);
        return NULL;
    }
    return cards;
}

char *board_url(const char *base, const struct alert_change *c)
{
    char name[FILTER_MAX], filter[FILTER_MAX + 64], *url = NULL;
    size_t length = strcspn(base, "?#"), size;
    json_t *cards = cards_of(c);
    char *pinned = cards ? json_line(cards) : NULL;
    FILE *out = pinned ? open_memstream(&url, &size) : NULL;
    bool fine = out != NULL;

    if (!out)
        goto done;
    while (length > 0 && base[length - 1] == '/')
        length--;
    fprintf(out, "%.*s/?", (int)length, base);
    escape(name, c->run);
    snprintf(filter, sizeof filter, "^%s/embmon$", name);
    fine = add_parameter(out, "runFilter", filter);
    escape(name, *c->layer ? c->layer : c->detector);
    if (*c->layer)
        snprintf(filter, sizeof filter, "/%s(/|$)", name);
    else
        snprintf(filter, sizeof filter, "^(.*/)?(loss|alerts/%s)$", name);
    fine = fine && add_parameter(out, "&tagFilter", filter) &&
           add_parameter(out, "&pinnedCards", pinned);
    fprintf(out, "&smoothing=0#timeseries"); /* a spike is not to be smoothed away */
    fine = fclose(out) == 0 && fine;
    if (!fine) {
        free(url);
        url = NULL;
    }
done:
    free(pinned);
    json_decref(cards);
    return url;
}
