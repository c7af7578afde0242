#include "proxy/quota.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "metrics/lock.h"

#define QUOTA_BUCKETS 4096

struct quota_row {
    struct quota_row *next;
    struct in6_addr address;
    unsigned count;
};

struct quota {
    struct lock lock; /* GH_RANK_LIMIT; guards everything below */
    unsigned total;
    unsigned per_address;
    unsigned count;
    uint64_t seed; /* so that nobody can aim at one bucket */
    struct quota_row *buckets[QUOTA_BUCKETS];
};

bool quota_new(unsigned total, unsigned per_address, struct quota **out, struct gh_error *err)
{
    struct quota *quota = calloc(1, sizeof(*quota));

    if (quota == NULL || getrandom(&quota->seed, sizeof(quota->seed), 0) != sizeof(quota->seed)) {
        free(quota);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for connection limits");
    }
    lock_init(&quota->lock, GH_RANK_LIMIT);
    quota->total = total;
    quota->per_address = per_address;
    *out = quota;
    return true;
}

void quota_free(struct quota *quota)
{
    if (quota == NULL) {
        return;
    }
    for (size_t i = 0; i < QUOTA_BUCKETS; i++) {
        while (quota->buckets[i] != NULL) {
            struct quota_row *row = quota->buckets[i];

            quota->buckets[i] = row->next;
            free(row);
        }
    }
    lock_done(&quota->lock);
    free(quota);
}

void quota_set(struct quota *quota, unsigned total, unsigned per_address)
{
    lock_acquire(&quota->lock);
    quota->total = total;
    quota->per_address = per_address;
    lock_release(&quota->lock);
}

static struct in6_addr quota_key(const struct in6_addr *peer)
{
    struct in6_addr key = *peer;

    if (!IN6_IS_ADDR_V4MAPPED(peer)) {
        memset(&key.s6_addr[8], 0, 8);
    }
    return key;
}

static struct quota_row **quota_find(struct quota *quota, const struct in6_addr *key)
{
    uint64_t words[2];
    uint64_t hash = quota->seed;
    struct quota_row **slot;

    memcpy(words, key, sizeof(words));
    for (size_t i = 0; i < 2; i++) {
        hash ^= words[i];
        hash *= UINT64_C(0x9e3779b97f4a7c15) | 1;
        hash ^= hash >> 29;
    }
    slot = &quota->buckets[(hash >> 40) % QUOTA_BUCKETS];
    while (*slot != NULL && memcmp(&(*slot)->address, key, sizeof(*key)) != 0) {
        slot = &(*slot)->next;
    }
    return slot;
}

static enum quota_answer quota_enter_locked(struct quota *quota, const struct in6_addr *key)
{
    struct quota_row **slot;

    if (quota->count >= quota->total) {
        return QUOTA_REFUSED_TOTAL;
    }
    slot = quota_find(quota, key);
    if (*slot == NULL) {
        struct quota_row *row = calloc(1, sizeof(*row));

        if (row == NULL) {
            return QUOTA_REFUSED_TOTAL;
        }
        row->address = *key;
        *slot = row;
    } else if ((*slot)->count >= quota->per_address) {
        return QUOTA_REFUSED_ADDRESS;
    }
    (*slot)->count++;
    quota->count++;
    return QUOTA_ENTERED;
}

enum quota_answer quota_enter(struct quota *quota, const struct in6_addr *peer)
{
    struct in6_addr key = quota_key(peer);
    enum quota_answer answer;

    lock_acquire(&quota->lock);
    answer = quota_enter_locked(quota, &key);
    lock_release(&quota->lock);
    return answer;
}

void quota_leave(struct quota *quota, const struct in6_addr *peer)
{
    struct in6_addr key = quota_key(peer);
    struct quota_row **slot;

    lock_acquire(&quota->lock);
    slot = quota_find(quota, &key);
    if (*slot != NULL) {
        struct quota_row *row = *slot;

        quota->count--;
        if (--row->count == 0) {
            *slot = row->next;
            free(row);
        }
    }
    lock_release(&quota->lock);
}

unsigned quota_count(struct quota *quota)
{
    unsigned count;

    lock_acquire(&quota->lock);
    count = quota->count;
    lock_release(&quota->lock);
    return count;
}

bool quota_is_full(struct quota *quota)
{
    bool is_full;

    lock_acquire(&quota->lock);
    is_full = quota->count >= quota->total;
    lock_release(&quota->lock);
    return is_full;
}
