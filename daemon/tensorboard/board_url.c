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

/* Where an alert of a signal is seen: few enough tags for TensorBoard's first page. */
struct evidence {
    const char *signal, *curve, *tags;
};

static const struct evidence *evidence_of(const char *signal)
{
    static const struct evidence all[] = {
        {"gradient", "gradient_norm", "anomaly|gradient_norm|gradients|gradients_log10|nonfinite"},
        {"activation", "nonfinite", "activations|nonfinite"},
        {"update", "update_ratio", "update_ratio|updates|weights"},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].signal, signal) == 0)
            return &all[i];
    }
    return NULL;
}

static json_t *cards_of(const struct alert_change *c)
{
    json_t *cards = json_array();
    const struct evidence *evidence = *c->layer ? evidence_of(c->signal) : NULL;
    char tag[TAG_MAX];
    int failed = cards == NULL;

    if (evidence)
        failed |=
            pin(cards, "scalars",
                tag_make(tag, c->phase, "%s/%s", evidence->curve,
                         strcmp(c->signal, "gradient") == 0 ? tags_norm_name(c->layer) : c->layer),
                NULL);
    else if (strcmp(c->signal, "loss") == 0)
        failed |= pin(cards, "scalars", tag_make(tag, c->phase, "loss"), NULL);
    failed |=
        pin(cards, "scalars",
            tag_make(tag, c->phase, "alerts/%s%s%s", c->detector, *c->layer ? "/" : "", c->layer),
            NULL);
    if (evidence && strcmp(c->signal, "gradient") == 0)
        failed |= pin(cards, "histograms", tag_make(tag, c->phase, "anomaly/%s", c->layer), c->run);
    if (failed) {
        json_decref(cards);
        return NULL;
    }
    return cards;
}

/* A regular expression of the tags to show. */
static void tags_of(char filter[FILTER_MAX + 256], const struct alert_change *c)
{
    const struct evidence *evidence = evidence_of(c->signal);
    char layer[FILTER_MAX], prefix[TAG_MAX];

    escape(layer, c->layer);
    if (strcmp(layer, "all") == 0)
        strcpy(layer, "/?all"); /* see tags_norm_name() */
    tag_make(prefix, c->phase, "%s", "");
    if (!*c->layer)
        snprintf(filter, FILTER_MAX + 256, "^%.16s(loss|alerts/%s)$", prefix, c->detector);
    else if (evidence)
        snprintf(filter, FILTER_MAX + 256, "^%.16s(alerts/%s|%s)/%s(/|$)", prefix, c->detector,
                 evidence->tags, layer);
    else
        snprintf(filter, FILTER_MAX + 256, "/%s(/|$)", layer);
}

char *board_url(const char *base, const struct alert_change *c)
{
    char name[FILTER_MAX], filter[FILTER_MAX + 256], *url = NULL;
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
    tags_of(filter, c);
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
