#include "proxy/recent.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "metrics/error.h"
#include "metrics/lock.h"
#include "proxy/content.h"
#include "proxy/target.h"

#define RECENT_STRIPES 64u

struct recent_entry {
    uint64_t hash;
    struct content *content; /* may be NULL */
    int64_t confirmed_unix_s;
    int64_t put_unix_s;
    size_t key_len;
    char key[];
};

struct recent_stripe {
    struct lock lock;
    uint64_t forgotten;
};

struct recent {
    uint64_t seed; /* clients choose names, not the slots they fall into */
    struct recent_stripe stripes[RECENT_STRIPES];
    struct recent_entry *slots[RECENT_SLOTS];
};

bool recent_new(struct recent **out, struct gh_error *err)
{
    struct recent *recent = calloc(1, sizeof(*recent));

    if (recent == NULL || RAND_bytes((unsigned char *)&recent->seed, sizeof(recent->seed)) != 1) {
        free(recent);
        return gh_fail(err, GH_INTERNAL_ERROR, "the table of recent manifests could not be made");
    }
    for (size_t i = 0; i < RECENT_STRIPES; i++) {
        lock_init(&recent->stripes[i].lock, GH_RANK_RECENT);
    }
    *out = recent;
    return true;
}

static void recent_entry_free(struct recent_entry *entry)
{
    if (entry != NULL) {
        content_unref(entry->content);
        free(entry);
    }
}

void recent_free(struct recent *recent)
{
    if (recent == NULL) {
        return;
    }
    for (size_t i = 0; i < RECENT_SLOTS; i++) {
        recent_entry_free(recent->slots[i]);
    }
    for (size_t i = 0; i < RECENT_STRIPES; i++) {
        lock_done(&recent->stripes[i].lock);
    }
    free(recent);
}

/* ---- names ---- */

/* With its length in front: no two names share a key. */
static void recent_key_put(struct recent_key *key, const void *data, size_t len)
{
    uint16_t short_len = (uint16_t)len;

    if (key->len == 0 || len > UINT16_MAX ||
        sizeof(short_len) + len > sizeof(key->bytes) - key->len) {
        key->len = 0;
        return;
    }
    memcpy(key->bytes + key->len, &short_len, sizeof(short_len));
    memcpy(key->bytes + key->len + sizeof(short_len), data, len);
    key->len += sizeof(short_len) + len;
}

static void recent_key_begin(struct recent_key *key, enum recent_kind kind,
                             const struct target *target)
{
    key->bytes[0] = (char)kind;
    key->len = 1;
    key->forgotten = 0;
    recent_key_put(key, target->tenant_name, strlen(target->tenant_name));
    recent_key_put(key, target->ref.upstream, strlen(target->ref.upstream));
    recent_key_put(key, target->ref.repository, strlen(target->ref.repository));
}

/* Eight bytes at a time; equality is decided by the key itself. */
static void recent_key_hash(struct recent_key *key)
{
    uint64_t hash = key->len;

    for (size_t at = 0; at < key->len; at += sizeof(uint64_t)) {
        uint64_t word = 0;

        memcpy(&word, key->bytes + at, GH_MIN(sizeof(word), key->len - at));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    key->hash = hash;
}

void recent_key_tag(const struct target *target, const char *tag, const char *accept,
                    struct recent_key *out)
{
    recent_key_begin(out, RECENT_TAG, target);
    recent_key_put(out, tag, strlen(tag));
    recent_key_put(out, accept, strlen(accept));
    recent_key_hash(out);
}

void recent_key_digest(const struct target *target, enum recent_kind kind,
                       const struct digest *digest, struct recent_key *out)
{
    const char alg = (char)digest->alg;
    struct bytes value = digest_bytes(digest);

    recent_key_begin(out, kind, target);
    recent_key_put(out, &alg, 1);
    recent_key_put(out, value.data, value.len);
    recent_key_hash(out);
}

/* ---- look-ups ---- */

static size_t recent_slot(const struct recent *recent, const struct recent_key *key)
{
    uint64_t mixed = (key->hash ^ recent->seed) * 0xbf58476d1ce4e5b9u;

    return (size_t)(mixed >> 40) % RECENT_SLOTS;
}

static struct recent_stripe *recent_stripe(struct recent *recent, size_t slot)
{
    return &recent->stripes[slot % RECENT_STRIPES];
}

static bool recent_is(const struct recent_entry *entry, const struct recent_key *key)
{
    return entry != NULL && entry->hash == key->hash && entry->key_len == key->len &&
           memcmp(entry->key, key->bytes, key->len) == 0;
}

bool recent_get(struct recent *recent, struct recent_key *key, int64_t now_unix_s,
                struct content **content, int64_t *confirmed_unix_s)
{
    size_t slot = recent != NULL ? recent_slot(recent, key) : 0;
    struct recent_stripe *stripe = recent != NULL ? recent_stripe(recent, slot) : NULL;
    const struct recent_entry *entry;

    if (stripe == NULL || key->len == 0) {
        return false;
    }
    LOCK_HOLD(&stripe->lock);
    key->forgotten = stripe->forgotten;
    entry = recent->slots[slot];
    if (!recent_is(entry, key) || now_unix_s < entry->put_unix_s ||
        now_unix_s - entry->put_unix_s >= RECENT_KEPT_S) {
        return false;
    }
    *content = entry->content != NULL ? content_ref(entry->content) : NULL;
    *confirmed_unix_s = entry->confirmed_unix_s;
    return true;
}

void recent_put(struct recent *recent, const struct recent_key *key, struct content *content,
                int64_t confirmed_unix_s, int64_t now_unix_s)
{
    size_t slot = recent != NULL ? recent_slot(recent, key) : 0;
    struct recent_stripe *stripe = recent != NULL ? recent_stripe(recent, slot) : NULL;
    struct recent_entry *entry;
    struct recent_entry *gone;

    if (stripe == NULL || key->len == 0 ||
        (content != NULL && content->bytes.len > RECENT_MAX_CONTENT_BYTES)) {
        return;
    }
    entry = malloc(sizeof(*entry) + key->len);
    if (entry == NULL) {
        return;
    }
    entry->hash = key->hash;
    entry->content = content != NULL ? content_ref(content) : NULL;
    entry->confirmed_unix_s = confirmed_unix_s;
    entry->put_unix_s = now_unix_s;
    entry->key_len = key->len;
    memcpy(entry->key, key->bytes, key->len);
    gone = entry;
    {
        LOCK_HOLD(&stripe->lock);
        if (key->forgotten == stripe->forgotten) {
            gone = recent->slots[slot];
            recent->slots[slot] = entry;
        }
    }
    recent_entry_free(gone);
}

void recent_forget(struct recent *recent, const struct recent_key *key)
{
    size_t slot = recent != NULL ? recent_slot(recent, key) : 0;
    struct recent_stripe *stripe = recent != NULL ? recent_stripe(recent, slot) : NULL;
    struct recent_entry *gone = NULL;

    if (stripe == NULL || key->len == 0) {
        return;
    }
    {
        LOCK_HOLD(&stripe->lock);
        stripe->forgotten++;
        if (recent_is(recent->slots[slot], key)) {
            gone = recent->slots[slot];
            recent->slots[slot] = NULL;
        }
    }
    recent_entry_free(gone);
}
