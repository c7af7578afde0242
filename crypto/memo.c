#include "crypto/memo.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"

/* A set-associative table: a statement's name is a hash, so its first bytes choose the set. */
#define MEMO_WAYS 4
#define MEMO_SETS (MEMO_SLOTS / MEMO_WAYS)

struct memo_set {
    uint8_t names[MEMO_WAYS][32];
    bool is_used[MEMO_WAYS];
    unsigned next; /* the way that is given up next */
};

struct memo {
    pthread_mutex_t lock;
    struct memo_set sets[MEMO_SETS];
};

bool memo_new(struct memo **out, struct gh_error *err)
{
    struct memo *memo = calloc(1, sizeof(*memo));

    if (memo == NULL || pthread_mutex_init(&memo->lock, NULL) != 0) {
        free(memo);
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    *out = memo;
    return true;
}

void memo_free(struct memo *memo)
{
    if (memo != NULL) {
        (void)pthread_mutex_destroy(&memo->lock);
        free(memo);
    }
}

static bool memo_feed(struct digest_stream *stream, struct bytes part, struct gh_error *err)
{
    uint8_t len[8];

    for (unsigned i = 0; i < sizeof(len); i++) {
        len[i] = (uint8_t)((uint64_t)part.len >> (8 * i));
    }
    GH_TRY(digest_stream_update(stream, bytes_make(len, sizeof(len)), err));
    return digest_stream_update(stream, part, err);
}

bool memo_name(const char *label, const struct bytes *parts, size_t count, struct digest *out,
               struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;

    GH_TRY(digest_stream_new(DIGEST_SHA256, &stream, err));
    GH_TRY(memo_feed(stream, bytes_of(label), err));
    for (size_t i = 0; i < count; i++) {
        GH_TRY(memo_feed(stream, parts[i], err));
    }
    return digest_stream_final(stream, out, err);
}

static struct memo_set *memo_set(struct memo *memo, const struct digest *name)
{
    return &memo->sets[(name->value[0] | (size_t)name->value[1] << 8) % MEMO_SETS];
}

static bool memo_set_has(const struct memo_set *set, const struct digest *name)
{
    for (unsigned i = 0; i < MEMO_WAYS; i++) {
        if (set->is_used[i] && memcmp(set->names[i], name->value, 32) == 0) {
            return true;
        }
    }
    return false;
}

bool memo_has(struct memo *memo, const struct digest *name)
{
    bool found;

    if (memo == NULL || name->alg != DIGEST_SHA256) {
        return false;
    }
    (void)pthread_mutex_lock(&memo->lock);
    found = memo_set_has(memo_set(memo, name), name);
    (void)pthread_mutex_unlock(&memo->lock);
    return found;
}

void memo_add(struct memo *memo, const struct digest *name)
{
    struct memo_set *set;

    if (memo == NULL || name->alg != DIGEST_SHA256) {
        return;
    }
    (void)pthread_mutex_lock(&memo->lock);
    set = memo_set(memo, name);
    if (!memo_set_has(set, name)) {
        memcpy(set->names[set->next], name->value, 32);
        set->is_used[set->next] = true;
        set->next = (set->next + 1) % MEMO_WAYS;
    }
    (void)pthread_mutex_unlock(&memo->lock);
}
