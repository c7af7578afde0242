#include "policy/config_diff.h"

#include <stdio.h>
#include <string.h>

#include "policy/compare.h"
#include "policy/config.h"
#include "policy/config_schema.h"

struct config_diff {
    config_diff_fn fn;
    void *arg;
    const char *tenant;
    size_t count;
};

static void config_diff_tell(struct config_diff *diff, const struct config_change *change)
{
    struct config_change told = *change;

    told.tenant = diff->tenant;
    diff->count++;
    diff->fn(&told, diff->arg);
}

/* ---- settings, by the table of the language ---- */

static const struct config_object *config_diff_section(const char *name)
{
    for (size_t i = 0; i < config_object_file.field_count; i++) {
        if (strcmp(config_object_file.fields[i].name, name) == 0) {
            return config_object_file.fields[i].object;
        }
    }
    return NULL;
}

static bool config_diff_texts_differ(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a != b : strcmp(a, b) != 0;
}

static void config_diff_number(struct config_diff *diff, const char *name, int64_t before,
                               int64_t after)
{
    char one[32];
    char two[32];

    if (before == after) {
        return;
    }
    (void)snprintf(one, sizeof(one), "%lld", (long long)before);
    (void)snprintf(two, sizeof(two), "%lld", (long long)after);
    config_diff_tell(
        diff, &(struct config_change){
                  .kind = "setting", .name = name, .what = "value", .before = one, .after = two});
}

/* BEFORE and AFTER are the section's structs; numbers are in seconds and bytes. */
static void config_diff_settings(struct config_diff *diff, const char *section, const void *before,
                                 const void *after)
{
    const struct config_object *object = config_diff_section(section);

    for (size_t i = 0; object != NULL && i < object->field_count; i++) {
        const struct config_field *field = &object->fields[i];
        const char *one = (const char *)before + field->offset;
        const char *two = (const char *)after + field->offset;
        char name[128];

        (void)snprintf(name, sizeof(name), "%s.%s", section, field->name);
        switch (field->type) {
        case CONFIG_INT:
        case CONFIG_SIZE:
        case CONFIG_DURATION: {
            int64_t numbers[2];

            memcpy(&numbers[0], one, sizeof(numbers[0]));
            memcpy(&numbers[1], two, sizeof(numbers[1]));
            config_diff_number(diff, name, numbers[0], numbers[1]);
            break;
        }
        case CONFIG_TEXT:
        case CONFIG_NAME:
        case CONFIG_PATH:
        case CONFIG_SECRET: /* the path of the file */
        case CONFIG_URL:
        case CONFIG_ADDRESS: {
            const char *texts[2];

            memcpy(&texts[0], one, sizeof(texts[0]));
            memcpy(&texts[1], two, sizeof(texts[1]));
            if (config_diff_texts_differ(texts[0], texts[1])) {
                config_diff_tell(diff, &(struct config_change){.kind = "setting",
                                                               .name = name,
                                                               .what = "value",
                                                               .before = texts[0],
                                                               .after = texts[1]});
            }
            break;
        }
        case CONFIG_INLINE:
        case CONFIG_BOOL:
        case CONFIG_START:
        case CONFIG_LAST:
        case CONFIG_END:
        case CONFIG_ENUM:
        case CONFIG_TEXTS:
        case CONFIG_PATHS:
        case CONFIG_PAIRS:
        case CONFIG_OBJECT:
        case CONFIG_OBJECTS:
        case CONFIG_NAMED:
        case CONFIG_ANY:
            break; /* compared below where they matter */
        }
    }
}

static void config_diff_sink(struct config_diff *diff, const struct config_audit_sink *before,
                             const struct config_audit_sink *after)
{
    const char *one = before != NULL ? before->url : NULL;
    const char *two = after != NULL ? after->url : NULL;

    if (config_diff_texts_differ(one, two)) {
        config_diff_tell(diff, &(struct config_change){.kind = "setting",
                                                       .name = "audit.sink",
                                                       .what = "value",
                                                       .before = one,
                                                       .after = two});
    }
}

/* ---- tenants ---- */

static void config_diff_upstream(struct config_diff *diff, const struct config_upstream *before,
                                 const struct config_upstream *after)
{
    const struct config_credentials *one = before->credentials;
    const struct config_credentials *two = after->credentials;

    if (strcmp(before->url, after->url) != 0) {
        config_diff_tell(diff, &(struct config_change){.kind = "upstream",
                                                       .name = before->at.name,
                                                       .what = "url",
                                                       .before = before->url,
                                                       .after = after->url});
    }
    if ((one == NULL) != (two == NULL) ||
        (one != NULL && (config_diff_texts_differ(one->username, two->username) ||
                         config_diff_texts_differ(one->password, two->password)))) {
        config_diff_tell(diff, &(struct config_change){.kind = "upstream",
                                                       .name = before->at.name,
                                                       .what = "credentials"});
    }
    if (config_diff_texts_differ(before->ca, after->ca)) {
        config_diff_tell(diff, &(struct config_change){.kind = "upstream",
                                                       .name = before->at.name,
                                                       .what = "ca",
                                                       .before = before->ca,
                                                       .after = after->ca});
    }
}

/* Both lists are sorted by name. */
static void config_diff_upstreams(struct config_diff *diff, const struct config_upstreams *before,
                                  const struct config_upstreams *after)
{
    size_t i = 0;
    size_t j = 0;

    while (i < before->count || j < after->count) {
        int order = i == before->count  ? 1
                    : j == after->count ? -1
                                        : strcmp(before->items[i].at.name, after->items[j].at.name);

        if (order == 0) {
            config_diff_upstream(diff, &before->items[i++], &after->items[j++]);
        } else {
            const struct config_upstream *only =
                order < 0 ? &before->items[i++] : &after->items[j++];

            config_diff_tell(diff, &(struct config_change){.kind = "upstream",
                                                           .name = only->at.name,
                                                           .what = order < 0 ? "removed" : "added",
                                                           .before = order < 0 ? only->url : NULL,
                                                           .after = order < 0 ? NULL : only->url});
        }
    }
}

static void config_diff_on_difference(const struct compare_difference *difference, void *arg)
{
    static const char *const words[][2] = {
        {"only in a", "removed"},
        {"only in b", "added"},
        {"key only in a", "key removed"},
        {"key only in b", "key added"},
    };
    struct config_change change = {.kind = difference->kind,
                                   .name = difference->name,
                                   .what = difference->what,
                                   .before = difference->a,
                                   .after = difference->b};

    for (size_t i = 0; i < GH_COUNT(words); i++) {
        if (strcmp(difference->what, words[i][0]) == 0) {
            change.what = words[i][1];
        }
    }
    config_diff_tell(arg, &change);
}

static const struct config_root *config_diff_find_root(const struct config_tenant *tenant,
                                                       const char *name)
{
    for (size_t i = 0; i < tenant->root_count; i++) {
        if (strcmp(tenant->roots[i].name, name) == 0) {
            return &tenant->roots[i];
        }
    }
    return NULL;
}

static void config_diff_root_number(struct config_diff *diff, const char *name, const char *what,
                                    int64_t before, int64_t after)
{
    char texts[2][32];

    if (before != after) {
        (void)snprintf(texts[0], sizeof(texts[0]), "%lld", (long long)before);
        (void)snprintf(texts[1], sizeof(texts[1]), "%lld", (long long)after);
        config_diff_tell(
            diff,
            &(struct config_change){
                .kind = "root", .name = name, .what = what, .before = texts[0], .after = texts[1]});
    }
}

/* How long a root serves without a refresh, where it comes from, whether its logs are watched. */
static void config_diff_root(struct config_diff *diff, const struct config_root *before,
                             const struct config_root *after)
{
    if (strcmp(before->source, after->source) != 0) {
        config_diff_tell(diff, &(struct config_change){.kind = "root",
                                                       .name = before->name,
                                                       .what = "source",
                                                       .before = before->source,
                                                       .after = after->source});
    }
    config_diff_root_number(diff, before->name, "max_age", before->max_age_s, after->max_age_s);
    config_diff_root_number(diff, before->name, "probe", before->probe_s, after->probe_s);
}

/* Roots that the one names and the other does not, and the settings of those in both; how their
 * content changes is told elsewhere. */
static void config_diff_roots(struct config_diff *diff, const struct config_tenant *named,
                              const struct config_tenant *other, bool is_added)
{
    for (size_t i = 0; i < named->root_count; i++) {
        const struct config_root *root = &named->roots[i];
        const struct config_root *same = config_diff_find_root(other, root->name);

        if (same != NULL && !is_added) {
            config_diff_root(diff, root, same);
        }
        if (same == NULL) {
            config_diff_tell(diff,
                             &(struct config_change){.kind = "root",
                                                     .name = root->name,
                                                     .what = is_added ? "added" : "removed",
                                                     .before = is_added ? NULL : root->source,
                                                     .after = is_added ? root->source : NULL});
        }
    }
}

static void config_diff_quota(struct config_diff *diff, const char *tenant,
                              const struct config_quota *before, const struct config_quota *after)
{
    static const struct config_quota none = {0};
    const struct config_quota *one = before != NULL ? before : &none;
    const struct config_quota *two = after != NULL ? after : &none;
    const struct {
        const char *what;
        int64_t before, after;
    } rows[] = {
        {"requests_per_second", one->requests_per_second, two->requests_per_second},
        {"concurrent_requests", one->concurrent_requests, two->concurrent_requests},
        {"bytes_per_day", one->bytes_per_day, two->bytes_per_day},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        char texts[2][32];

        if (rows[i].before == rows[i].after) {
            continue;
        }
        (void)snprintf(texts[0], sizeof(texts[0]), "%lld", (long long)rows[i].before);
        (void)snprintf(texts[1], sizeof(texts[1]), "%lld", (long long)rows[i].after);
        config_diff_tell(diff, &(struct config_change){.kind = "quota",
                                                       .name = tenant,
                                                       .what = rows[i].what,
                                                       .before = texts[0],
                                                       .after = texts[1]});
    }
}

static const struct config_tenant *config_diff_tenant(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->tenant_count; i++) {
        if (strcmp(config->tenants[i].name, name) == 0) {
            return &config->tenants[i];
        }
    }
    return NULL;
}

static void config_diff_tenants(struct config_diff *diff, const struct config *before,
                                const struct config *after, int64_t now_unix_s)
{
    static const struct snapshot nothing = {0};
    struct compare_output output = {.each = config_diff_on_difference, .arg = diff};

    for (size_t i = 0; i < before->tenant_count; i++) {
        const struct config_tenant *old = &before->tenants[i];
        const struct config_tenant *new = config_diff_tenant(after, old->name);

        diff->tenant = old->name;
        if (new == NULL) {
            config_diff_tell(diff, &(struct config_change){
                                       .kind = "tenant", .name = old->name, .what = "removed"});
        } else {
            config_diff_quota(diff, old->name, old->quota, new->quota);
            config_diff_upstreams(diff, &old->upstreams, &new->upstreams);
            config_diff_roots(diff, old, new, false);
            config_diff_roots(diff, new, old, true);
        }
        compare_put(&output, &old->snapshot, new != NULL ? &new->snapshot : &nothing, now_unix_s);
    }
    for (size_t i = 0; i < after->tenant_count; i++) {
        const struct config_tenant *new = &after->tenants[i];

        if (config_diff_tenant(before, new->name) == NULL) {
            diff->tenant = new->name;
            config_diff_tell(diff, &(struct config_change){
                                       .kind = "tenant", .name = new->name, .what = "added"});
            compare_put(&output, &nothing, &new->snapshot, now_unix_s);
        }
    }
    diff->tenant = "";
}

size_t config_diff(const struct config *before, const struct config *after, int64_t now_unix_s,
                   config_diff_fn fn, void *arg)
{
    struct config_diff diff = {.fn = fn, .arg = arg, .tenant = ""};

    config_diff_settings(&diff, "storage", &before->storage, &after->storage);
    config_diff_settings(&diff, "limits", &before->limits, &after->limits);
    config_diff_settings(&diff, "cache", &before->cache, &after->cache);
    config_diff_settings(&diff, "audit", &before->audit, &after->audit);
    config_diff_sink(&diff, before->audit.sink, after->audit.sink);
    config_diff_settings(&diff, "log", &before->log, &after->log);
    config_diff_settings(&diff, "admin", &before->admin, &after->admin);
    config_diff_number(&diff, "workers", before->workers, after->workers);
    config_diff_number(&diff, "offline", before->is_offline, after->is_offline);
    config_diff_tenants(&diff, before, after, now_unix_s);
    return diff.count;
}
