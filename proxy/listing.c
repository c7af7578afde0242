#include "proxy/listing.h"

#include <stdlib.h>
#include <string.h>

#include "cache/decision_store.h"
#include "cache/verdict_cache.h"
#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/config_schema.h"
#include "policy/verdict.h"
#include "proxy/audit_text.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/route.h"
#include "proxy/verdicts.h"

/* ---- the query ---- */

static bool listing_bad(const char *name, const char *value, const char *expected,
                        struct gh_error *err)
{
    return gh_fail(err, GH_MALFORMED_JSON, "%.40s: found '%.80s', expected %s", name, value,
                   expected);
}

static bool listing_read_since(const char *value, int64_t now_unix_s, struct listing_filter *out,
                               struct gh_error *err)
{
    int64_t seconds;

    if (config_parse_duration(value, &seconds)) {
        out->since_unix_ms = (now_unix_s - seconds) * 1000;
        return true;
    }
    if (config_parse_time(value, CONFIG_START, &seconds)) {
        out->since_unix_ms = seconds * 1000;
        return true;
    }
    return listing_bad("since", value, "a time, a date or how long ago (7d)", err);
}

static bool listing_read_limit(const char *value, struct listing_filter *out, struct gh_error *err)
{
    char *end = NULL;
    unsigned long limit = strtoul(value, &end, 10);

    if (value[0] < '0' || value[0] > '9' || *end != '\0' || limit == 0 ||
        limit > LISTING_MAX_ROWS) {
        return listing_bad("limit", value, "a number from 1 to 10000", err);
    }
    out->limit = limit;
    return true;
}

static bool listing_read_key(const char *value, struct listing_filter *out, struct gh_error *err)
{
    struct gh_error ignored = {0};

    return (digest_parse(bytes_of(value), &out->key, &ignored) && out->key.alg == DIGEST_SHA256) ||
           listing_bad("key", value, "the sha256:… of a key as trust status shows it", err);
}

static bool listing_read_force(const char *value, struct listing_filter *out, struct gh_error *err)
{
    bool is_true = strcmp(value, "true") == 0;

    out->force = is_true ? LISTING_IN_FORCE : LISTING_NOT_IN_FORCE;
    return is_true || strcmp(value, "false") == 0 ||
           listing_bad("in_force", value, "true or false", err);
}

static bool listing_read_one(struct bytes name, const char *value, int64_t now_unix_s,
                             struct listing_filter *out, struct gh_error *err)
{
    const struct {
        const char *name;
        char *out;
    } texts[] = {{"tenant", out->tenant}, {"image", out->image}, {"digest", out->digest}};

    for (size_t i = 0; i < GH_COUNT(texts); i++) {
        if (bytes_equal_cstr(name, texts[i].name)) {
            memcpy(texts[i].out, value, strlen(value) + 1);
            return true;
        }
    }
    if (bytes_equal_cstr(name, "key")) {
        return listing_read_key(value, out, err);
    }
    if (bytes_equal_cstr(name, "in_force")) {
        return listing_read_force(value, out, err);
    }
    if (bytes_equal_cstr(name, "since")) {
        return listing_read_since(value, now_unix_s, out, err);
    }
    if (bytes_equal_cstr(name, "limit")) {
        return listing_read_limit(value, out, err);
    }
    return gh_fail(err, GH_MALFORMED_JSON,
                   "there is no such parameter; expected tenant, image, digest, key, in_force, "
                   "since or limit");
}

bool listing_read(struct bytes query, int64_t now_unix_s, struct listing_filter *out,
                  struct gh_error *err)
{
    *out = (struct listing_filter){.limit = LISTING_MAX_ROWS};
    for (bool is_more = query.len > 0; is_more;) {
        struct bytes part;
        struct bytes name;
        char value[LISTING_MAX_NAME];

        is_more = bytes_split(&query, '&', &part);
        if (!is_more) {
            part = query;
        }
        if (!bytes_split(&part, '=', &name) || !route_decode(part, true, value, sizeof(value))) {
            return gh_fail(err, GH_MALFORMED_JSON, "a parameter reads name=value");
        }
        GH_TRY(listing_read_one(name, value, now_unix_s, out, err));
    }
    return true;
}

/* ---- verdicts ---- */

struct listing {
    struct generation *generation;
    const struct listing_filter *filter;
    struct text *out;
    size_t count;
    int64_t now_unix_s;
    bool is_cut;
};

/* The requirement of today that the verdict answers; NULL: none does. */
static const struct require *listing_requirement(const struct generation *generation,
                                                 const struct verdicts_about *about)
{
    for (size_t t = 0; t < generation->config->tenant_count; t++) {
        const struct snapshot *snapshot = &generation->config->tenants[t].snapshot;

        for (size_t i = 0;
             bytes_equal_cstr(about->tenant, snapshot->tenant) && i < snapshot->leaf_count; i++) {
            if (digest_equal(&snapshot->leaves[i]->fingerprint, &about->fingerprint)) {
                return snapshot->leaves[i];
            }
        }
    }
    return NULL;
}

static bool listing_text_fits(const char *wanted, struct bytes text)
{
    return wanted[0] == '\0' || bytes_equal_cstr(text, wanted);
}

static void listing_put_about(struct text *out, const struct verdicts_about *about)
{
    const struct {
        const char *name;
        struct bytes value;
    } texts[] = {{"tenant", about->tenant},
                 {"image", about->image},
                 {"digest", about->digest},
                 {"media_type", about->media_type},
                 {"tag", about->tag}};

    for (size_t i = 0; i < GH_COUNT(texts); i++) {
        text_put(out, i > 0 ? ",\"" : "\"");
        text_put(out, texts[i].name);
        text_put(out, "\":");
        text_put_json_bytes(out, texts[i].value.data, texts[i].value.len);
    }
}

static bool listing_on_verdict(struct bytes key, struct bytes value, int64_t until_unix_s,
                               const struct verdict_cache_use *use, void *arg)
{
    struct listing *listing = arg;
    const struct listing_filter *filter = listing->filter;
    GH_OWN(verdict_unrefp) struct verdict *verdict = NULL;
    struct verdicts_about about;
    const struct require *require;
    struct gh_error error = {0};
    bool is_in_force;

    if (!verdicts_key_read(key, &about) || !listing_text_fits(filter->tenant, about.tenant) ||
        !listing_text_fits(filter->image, about.image) ||
        !listing_text_fits(filter->digest, about.digest)) {
        return true;
    }
    require = listing_requirement(listing->generation, &about);
    is_in_force = require != NULL && until_unix_s > listing->now_unix_s;
    if ((filter->force == LISTING_IN_FORCE && !is_in_force) ||
        (filter->force == LISTING_NOT_IN_FORCE && is_in_force) ||
        !verdict_decode(value, &verdict, &error)) {
        return true;
    }
    if (listing->count == filter->limit) {
        listing->is_cut = true;
        return false;
    }
    text_put(listing->out, listing->count++ > 0 ? ",{" : "{");
    listing_put_about(listing->out, &about);
    text_put_key(listing->out, "requirement");
    text_put_json(listing->out, require != NULL ? require->label : "");
    text_printf(listing->out, ",\"in_force\":%s", is_in_force ? "true" : "false");
    text_put_key(listing->out, "verdict");
    text_put_json(listing->out, verdict->outcome == VERDICT_SATISFIED ? "allow" : "deny");
    text_put_key(listing->out, "until");
    text_put(listing->out, "\"");
    text_put_time(listing->out, until_unix_s);
    text_put(listing->out, "\"");
    verdicts_put_use(listing->out, use);
    audit_text_rests(listing->out, verdict);
    text_put(listing->out, "}");
    return true;
}

void listing_verdicts(struct gateway *gateway, const struct listing_filter *filter,
                      struct text *out)
{
    GH_OWN(generation_unrefp) struct generation *generation = gateway_generation(gateway);
    struct listing listing = {
        .generation = generation, .filter = filter, .out = out, .now_unix_s = gateway_now()};
    struct verdict_cache_rest rest = {.kind = EVIDENCE_REST_KEY};

    memcpy(rest.id, filter->key.value, sizeof(rest.id));
    text_put(out, "{\"verdicts\":[");
    verdict_cache_each(gateway->verdicts, filter->key.alg != DIGEST_NONE ? &rest : NULL,
                       listing_on_verdict, &listing);
    text_printf(out, "],\"more\":%s}", listing.is_cut ? "true" : "false");
}

/* ---- decisions ---- */

static bool listing_on_decision(const char *id, struct bytes record, int64_t made_unix_ms,
                                void *arg)
{
    struct listing *listing = arg;

    if (listing->count == listing->filter->limit) {
        listing->is_cut = true;
        return false;
    }
    text_put(listing->out, listing->count++ > 0 ? ",{" : "{");
    text_put(listing->out, "\"made\":\"");
    text_put_time(listing->out, made_unix_ms / 1000);
    text_put(listing->out, "\",\"decision\":");
    text_put_bytes(listing->out, record.data, record.len);
    text_put(listing->out, "}");
    return true;
}

void listing_decisions(struct gateway *gateway, const struct listing_filter *filter,
                       struct text *out)
{
    struct listing listing = {.filter = filter, .out = out};

    text_put(out, "{\"decisions\":[");
    decision_store_each(gateway->decisions, filter->since_unix_ms, listing_on_decision, &listing);
    text_printf(out, "],\"more\":%s}", listing.is_cut ? "true" : "false");
}
