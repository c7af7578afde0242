#include "proxy/verdicts.h"

#include <string.h>

#include "cache/verdict_cache.h"
#include "metrics/text.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/target.h"

#define VERDICTS_MAX_KEY 4096
#define VERDICTS_CLOCK_SLACK_S 60 /* a request may be older than the verdict it waited for */

static void verdicts_hook_ref(void *object)
{
    (void)verdict_ref(object);
}

static void verdicts_hook_unref(void *object)
{
    verdict_unref(object);
}

static bool verdicts_hook_decode(struct bytes value, void **out)
{
    struct gh_error error = {0};
    struct verdict *verdict;

    if (!verdict_decode(value, &verdict, &error)) {
        return false;
    }
    *out = verdict;
    return true;
}

const struct verdict_cache_hooks verdicts_hooks = {
    .ref = verdicts_hook_ref, .unref = verdicts_hook_unref, .decode = verdicts_hook_decode};

/* Every part with its length in front: no two keys share a text. */
static void verdicts_key_part(struct text *out, const char *part)
{
    size_t len = strlen(part);

    text_put_number(out, len);
    text_put_char(out, ':');
    text_put_bytes(out, part, len);
}

static bool verdicts_key_text(const struct verdicts_key *key, struct text *out)
{
    const struct signer *signer = key->require->signer;
    bool reads_tag = signer != NULL && signer->match_reference == SIGNER_REFERENCE_EXACT;
    char digest[DIGEST_MAX_TEXT];

    digest_format(key->digest, digest);
    verdicts_key_part(out, key->target->tenant_name);
    verdicts_key_part(out, key->target->ref.name);
    verdicts_key_part(out, digest);
    verdicts_key_part(out, key->media_type);
    verdicts_key_part(out, reads_tag && key->tag != NULL ? key->tag : "");
    verdicts_key_part(out, key->is_all_authorities ? "all" : "one");
    text_put_bytes(out, key->require->fingerprint.value, 32);
    return text_ok(out);
}

static bool verdicts_read_part(struct bytes *in, struct bytes *out)
{
    struct bytes rest = *in;
    struct bytes number;
    size_t len = 0;

    if (!bytes_split(&rest, ':', &number) || number.len == 0) {
        return false;
    }
    for (size_t i = 0; i < number.len; i++) {
        if (number.data[i] < '0' || number.data[i] > '9' || len > VERDICTS_MAX_KEY) {
            return false;
        }
        len = len * 10 + (size_t)(number.data[i] - '0');
    }
    if (len > rest.len) {
        return false;
    }
    *out = bytes_slice(rest, 0, len);
    *in = bytes_slice(rest, len, SIZE_MAX);
    return true;
}

bool verdicts_key_read(struct bytes key, struct verdicts_about *out)
{
    struct bytes authorities;

    *out = (struct verdicts_about){.fingerprint = {.alg = DIGEST_SHA256}};
    if (!verdicts_read_part(&key, &out->tenant) || !verdicts_read_part(&key, &out->image) ||
        !verdicts_read_part(&key, &out->digest) || !verdicts_read_part(&key, &out->media_type) ||
        !verdicts_read_part(&key, &out->tag) || !verdicts_read_part(&key, &authorities) ||
        key.len != 32) {
        return false;
    }
    memcpy(out->fingerprint.value, key.data, 32);
    return true;
}

void verdicts_put_use(struct text *out, const struct verdict_cache_use *use)
{
    text_put_key(out, "last_used");
    if (use->last_unix_s == 0) {
        text_put(out, "null"); /* not since it was made */
    } else {
        text_put(out, "\"");
        text_put_time(out, use->last_unix_s);
        text_put(out, "\"");
    }
    text_put_key(out, "pulled_by");
    text_put(out, "[");
    for (size_t i = 0; i < use->who_count; i++) {
        text_put(out, i > 0 ? "," : "");
        text_put_json(out, use->who[i].name);
    }
    text_put(out, "]");
}

struct verdict *verdicts_get(struct gateway *gateway, const struct verdicts_key *key,
                             int64_t now_unix_s)
{
    static const char *const tiers[][2] = {
        [VERDICT_CACHE_MISS] = {"store", "miss"},
        [VERDICT_CACHE_MEMORY] = {"memory", "hit"},
        [VERDICT_CACHE_STORED] = {"store", "hit"},
    };
    enum verdict_cache_result found;
    struct verdict *verdict = NULL;
    void *object = NULL;
    struct text text;

    if (gateway->verdicts == NULL) {
        return NULL;
    }
    text_init(&text, VERDICTS_MAX_KEY);
    if (!verdicts_key_text(key, &text)) {
        found = VERDICT_CACHE_MISS;
    } else if (gateway->is_background) {
        found = verdict_cache_find(gateway->verdicts, bytes_make(text.data, text.len), now_unix_s,
                                   false, NULL, &object);
    } else {
        found =
            verdict_cache_get(gateway->verdicts, bytes_make(text.data, text.len), now_unix_s,
                              key->who != NULL && key->who[0] != '\0' ? key->who : NULL, &object);
    }
    text_done(&text);
    prom_add(gateway->prom, PROM_VERDICT_CACHE, PROM_LABELS(tiers[found][0], tiers[found][1]), 1);
    if (found == VERDICT_CACHE_MISS) {
        return NULL;
    }
    verdict = object;
    if (verdict->until_unix_s <= now_unix_s ||
        verdict->made_unix_s > now_unix_s + VERDICTS_CLOCK_SLACK_S) {
        /* What it rests on holds no longer, whatever its entry says; or the clock was wrong when it
         * was made, and its lifetimes with it. */
        verdict_unref(verdict);
        return NULL;
    }
    return verdict;
}

void verdicts_note_use(struct gateway *gateway, const struct verdicts_key *key, int64_t now_unix_s)
{
    void *object = NULL;
    struct text text;

    if (gateway->verdicts == NULL || gateway->is_background) {
        return;
    }
    text_init(&text, VERDICTS_MAX_KEY);
    if (verdicts_key_text(key, &text) &&
        verdict_cache_get(gateway->verdicts, bytes_make(text.data, text.len), now_unix_s,
                          key->who != NULL && key->who[0] != '\0' ? key->who : NULL,
                          &object) != VERDICT_CACHE_MISS) {
        verdict_unref(object);
    }
    text_done(&text);
}

void verdicts_put(struct gateway *gateway, const struct generation *generation,
                  const struct verdicts_key *key, struct verdict *verdict, int64_t now_unix_s)
{
    const struct config_cache *ttl = &generation->config->cache;
    struct verdict_cache_rest rests[VERDICT_MAX_RESTS];
    GH_OWN(bytes_buf_done) struct bytes_buf encoded = {0};
    struct verdict_cache_entry entry = {.rests = rests};
    struct gh_error error = {0};
    struct text text;

    if (gateway->verdicts == NULL || verdict->outcome == VERDICT_UNDECIDED ||
        verdict->until_unix_s <= now_unix_s || !verdict_encode(verdict, &encoded, &error)) {
        return;
    }
    entry.is_stored = verdict->outcome == VERDICT_SATISFIED;
    entry.until_unix_s =
        GH_MIN(verdict->until_unix_s,
               now_unix_s + (entry.is_stored ? ttl->verdict_ttl_s : ttl->denial_ttl_s));
    if (key->require->is_every) {
        /* A statement that is added could object: the registry is asked again before long. */
        entry.until_unix_s = GH_MIN(entry.until_unix_s, now_unix_s + VERDICTS_EVERY_TTL_S);
    }
    for (size_t i = 0; i < verdict->rest_count; i++) {
        rests[i].kind = (uint8_t)verdict->rests[i].kind;
        memcpy(rests[i].id, verdict->rests[i].id.value, sizeof(rests[i].id));
        entry.rest_count++;
    }
    text_init(&text, VERDICTS_MAX_KEY);
    if (verdicts_key_text(key, &text)) {
        entry.key = bytes_make(text.data, text.len);
        entry.value = bytes_view(&encoded);
        if (!verdict_cache_put(gateway->verdicts, &entry, verdict, now_unix_s, &error)) {
            gh_error_clear(&error); /* it is verified again; nothing is lost but time */
        }
    }
    text_done(&text);
}

void verdicts_remove(struct gateway *gateway, const struct verdicts_key *key)
{
    struct text text;

    if (gateway->verdicts == NULL) {
        return;
    }
    text_init(&text, VERDICTS_MAX_KEY);
    if (verdicts_key_text(key, &text)) {
        verdict_cache_remove(gateway->verdicts, bytes_make(text.data, text.len));
    }
    text_done(&text);
}
