#include "proxy/session.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "crypto/bytes.h"
#include "metrics/error.h"
#include "metrics/lock.h"
#include "proxy/generation.h"
#include "proxy/upstream.h"

#define SESSION_BUCKETS 1024
#define SESSION_KEY_BYTES 32

struct session_repository {
    uint8_t hash[32];
    int64_t until_unix_s;
};

struct session {
    struct session_set *set;
    struct session *next;
    int references; /* the table's own is one */
    char id[SESSION_ID_CHARS + 1];
    char *tenant;
    char *upstream_name;
    char *user;
    char *password;
    int64_t used_unix_s;
    struct upstream *upstream;
    uint64_t generation; /* that made it */
    bool has_passed;     /* some probe did: the credential is good for something */
    bool is_probing;
    struct session_waiter *waiting;
    size_t waiting_count;
    struct session_repository probed[SESSION_MAX_PROBED];
};

/* An upstream that a reload replaced; verifications may still use it. */
struct session_retired {
    struct session_retired *next;
    struct upstream *upstream;
    int64_t at_unix_s;
};

struct session_set {
    struct lock lock;
    uint8_t key[SESSION_KEY_BYTES];
    struct session *buckets[SESSION_BUCKETS];
    size_t count;
    struct session_retired *retired;
    int64_t swept_unix_s;
};

bool session_set_new(struct session_set **out, struct gh_error *err)
{
    struct session_set *set = calloc(1, sizeof(*set));

    if (set == NULL || RAND_bytes(set->key, sizeof(set->key)) != 1) {
        free(set);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for sessions");
    }
    lock_init(&set->lock, GH_RANK_SESSION);
    *out = set;
    return true;
}

static void session_free(struct session *session)
{
    upstream_unref(session->upstream);
    if (session->password != NULL) {
        explicit_bzero(session->password, strlen(session->password));
    }
    free(session->password);
    free(session->user);
    free(session->tenant);
    free(session->upstream_name);
    free(session);
}

void session_set_free(struct session_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < SESSION_BUCKETS; i++) {
        while (set->buckets[i] != NULL) {
            struct session *session = set->buckets[i];

            set->buckets[i] = session->next;
            session_free(session);
        }
    }
    while (set->retired != NULL) {
        struct session_retired *retired = set->retired;

        set->retired = retired->next;
        upstream_unref(retired->upstream);
        free(retired);
    }
    explicit_bzero(set->key, sizeof(set->key));
    lock_done(&set->lock);
    free(set);
}

static struct session **session_bucket(struct session_set *set, const char *id)
{
    unsigned hash = 0;

    for (size_t i = 0; i < 8 && id[i] != '\0'; i++) {
        hash = hash * 31 + (unsigned char)id[i];
    }
    return &set->buckets[hash % SESSION_BUCKETS];
}

/* Keyed, so that an id says nothing about a password; each part with its end, so that no two
 * credentials share an id. */
static bool session_id(const struct session_set *set, const struct session_credential *credential,
                       char *id)
{
    const char *const parts[] = {credential->tenant, credential->upstream, credential->user,
                                 credential->password};
    size_t size = 0;
    size_t used = 0;
    uint8_t mac[32];
    unsigned len = 0;
    uint8_t *joined;
    bool is_made;

    for (size_t i = 0; i < GH_COUNT(parts); i++) {
        size += strlen(parts[i]) + 1;
    }
    joined = malloc(size);
    if (joined == NULL) {
        return false;
    }
    for (size_t i = 0; i < GH_COUNT(parts); i++) {
        memcpy(joined + used, parts[i], strlen(parts[i]) + 1);
        used += strlen(parts[i]) + 1;
    }
    is_made = HMAC(EVP_sha256(), set->key, sizeof(set->key), joined, size, mac, &len) != NULL &&
              len == sizeof(mac);
    explicit_bzero(joined, size);
    free(joined);
    if (is_made) {
        bytes_hex_encode(bytes_make(mac, sizeof(mac)), id);
    }
    return is_made;
}

static void session_drop(struct session *session)
{
    if (--session->references == 0) {
        session_free(session);
    }
}

/* With the lock held: forget what is idle, and upstreams nobody can still use. */
static void session_sweep(struct session_set *set, int64_t now_unix_s)
{
    struct session_retired **retired = &set->retired;

    if (now_unix_s - set->swept_unix_s < 60 && set->count < SESSION_MAX) {
        return;
    }
    set->swept_unix_s = now_unix_s;
    for (size_t i = 0; i < SESSION_BUCKETS; i++) {
        struct session **place = &set->buckets[i];

        while (*place != NULL) {
            struct session *session = *place;

            if (session->references > 1 || now_unix_s - session->used_unix_s < SESSION_IDLE_S) {
                place = &session->next;
                continue;
            }
            *place = session->next;
            set->count--;
            session_drop(session);
        }
    }
    while (*retired != NULL) {
        struct session_retired *old = *retired;

        if (now_unix_s - old->at_unix_s < SESSION_IDLE_S) {
            retired = &old->next;
            continue;
        }
        *retired = old->next;
        upstream_unref(old->upstream);
        free(old);
    }
}

static struct session *session_look(struct session_set *set, const char *id)
{
    struct session *session = *session_bucket(set, id);

    while (session != NULL && strcmp(session->id, id) != 0) {
        session = session->next;
    }
    return session;
}

static struct session *session_new(struct session_set *set,
                                   const struct session_credential *credential, const char *id)
{
    struct session *session = calloc(1, sizeof(*session));

    if (session == NULL) {
        return NULL;
    }
    session->set = set;
    session->references = 1;
    memcpy(session->id, id, SESSION_ID_CHARS + 1);
    session->tenant = strdup(credential->tenant);
    session->upstream_name = strdup(credential->upstream);
    session->user = strdup(credential->user);
    session->password = strdup(credential->password);
    if (session->tenant == NULL || session->upstream_name == NULL || session->user == NULL ||
        session->password == NULL) {
        session_free(session);
        return NULL;
    }
    return session;
}

bool session_open(struct session_set *set, const struct session_credential *credential,
                  int64_t now_unix_s, char *id, struct gh_error *err)
{
    struct session *session;
    struct session **place;

    if (!session_id(set, credential, id)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a session");
    }
    LOCK_HOLD(&set->lock);
    session_sweep(set, now_unix_s);
    session = session_look(set, id);
    if (session != NULL) {
        session->used_unix_s = now_unix_s;
        return true;
    }
    if (set->count >= SESSION_MAX) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "too many credentials are in use");
    }
    session = session_new(set, credential, id);
    if (session == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a session");
    }
    session->used_unix_s = now_unix_s;
    place = session_bucket(set, id);
    session->next = *place;
    *place = session;
    set->count++;
    return true;
}

struct session *session_find(struct session_set *set, const char *id, const char *tenant,
                             const char *upstream, int64_t now_unix_s)
{
    struct session *session;

    LOCK_HOLD(&set->lock);
    session = session_look(set, id);
    if (session == NULL || strcmp(session->tenant, tenant) != 0 ||
        strcmp(session->upstream_name, upstream) != 0) {
        return NULL;
    }
    session->used_unix_s = now_unix_s;
    session->references++;
    return session;
}

void session_unref(struct session *session)
{
    if (session != NULL) {
        LOCK_HOLD(&session->set->lock);
        session_drop(session);
    }
}

const char *session_user(const struct session *session)
{
    return session->user;
}

struct upstream *session_upstream(struct session *session, const struct generation *generation,
                                  size_t tenant)
{
    struct session_set *set = session->set;
    struct session_retired *retired;
    struct upstream *made = NULL;
    struct gh_error error = {0};

    LOCK_HOLD(&set->lock);
    if (session->upstream != NULL && session->generation == generation->number) {
        return session->upstream;
    }
    if (!generation_upstream_as(generation, tenant, session->upstream_name, session->user,
                                session->password, &made, &error)) {
        return NULL;
    }
    if (session->upstream != NULL) {
        retired = calloc(1, sizeof(*retired));
        if (retired == NULL) {
            upstream_unref(made);
            return NULL;
        }
        *retired = (struct session_retired){
            .next = set->retired, .upstream = session->upstream, .at_unix_s = session->used_unix_s};
        set->retired = retired;
        /* Another address may stand behind the name now: ask it anew. */
        memset(session->probed, 0, sizeof(session->probed));
    }
    session->upstream = made;
    session->generation = generation->number;
    return made;
}

static void session_hash(const char *repository, uint8_t out[32])
{
    memset(out, 0, 32);
    (void)EVP_Digest(repository, strlen(repository), out, NULL, EVP_sha256(), NULL);
}

enum session_answer session_enter(struct session *session, const char *repository,
                                  int64_t now_unix_s, struct session_waiter *waiter)
{
    uint8_t hash[32];

    session_hash(repository, hash);
    LOCK_HOLD(&session->set->lock);
    for (size_t i = 0; i < SESSION_MAX_PROBED; i++) {
        const struct session_repository *known = &session->probed[i];

        /* A clock set back must not make a probe last longer. */
        if (memcmp(known->hash, hash, sizeof(hash)) == 0 && now_unix_s < known->until_unix_s &&
            known->until_unix_s - now_unix_s <= SESSION_REMEMBER_S) {
            return SESSION_ALLOWED;
        }
    }
    if (session->has_passed || !session->is_probing) {
        session->is_probing = session->is_probing || !session->has_passed;
        return SESSION_PROBE;
    }
    if (session->waiting_count >= SESSION_MAX_WAITING) {
        return SESSION_REFUSED;
    }
    waiter->next = session->waiting;
    session->waiting = waiter;
    session->waiting_count++;
    return SESSION_WAITING;
}

void session_probed(struct session *session, const char *repository, bool has_passed,
                    int64_t now_unix_s)
{
    struct session_repository *oldest = &session->probed[0];
    uint8_t hash[32];

    session_hash(repository, hash);
    LOCK_HOLD(&session->set->lock);
    for (size_t i = 0; has_passed && i < SESSION_MAX_PROBED; i++) {
        struct session_repository *known = &session->probed[i];

        if (memcmp(known->hash, hash, sizeof(hash)) == 0) {
            oldest = known;
            break;
        }
        oldest = known->until_unix_s < oldest->until_unix_s ? known : oldest;
    }
    if (has_passed) {
        memcpy(oldest->hash, hash, sizeof(hash));
        oldest->until_unix_s = now_unix_s + SESSION_REMEMBER_S;
        session->has_passed = true;
    }
    session->is_probing = false;
    /* All are woken: the first of them probes, or all go on. */
    while (session->waiting != NULL) {
        struct session_waiter *waiter = session->waiting;

        session->waiting = waiter->next;
        session->waiting_count--;
        worker_post(waiter->worker, &waiter->mail);
    }
}
