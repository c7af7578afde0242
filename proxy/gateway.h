/*
 * What the whole process shares: stores, counters, logs, work under way, threads, and the
 * generation of the configuration in force.
 *
 * Threads: the pointers are set before workers start and constant from then on. The generation is
 *          swapped by gateway_adopt() under a lock of rank GH_RANK_CONFIG.
 */
#ifndef PROXY_GATEWAY_H
#define PROXY_GATEWAY_H

#include "gatehouse.h"
#include "metrics/lock.h"
#include "metrics/prom.h"

struct audit;
struct answers;
struct blob_store;
struct config;
struct config_tenant;
struct decision_store;
struct edges;
struct exception_watch;
struct fill_set;
struct flights;
struct generation;
struct gh_error;
struct helper_pool;
struct log;
struct recent;
struct recorder;
struct request;
struct session_set;
struct store;
struct verdict_cache;
struct worker;

#define GATEWAY_MAX_WORKERS 256

struct gateway {
    struct store *store;              /* NULL without stores (`verify`): nothing is kept */
    struct blob_store *blobs;         /* NULL likewise */
    struct verdict_cache *verdicts;   /* NULL likewise */
    struct answers *answers;          /* NULL likewise */
    struct edges *edges;              /* NULL likewise */
    struct decision_store *decisions; /* NULL likewise */
    struct recent *recent;            /* NULL likewise */
    struct fill_set *fills;           /* NULL likewise */
    struct flights *flights;
    struct helper_pool *helpers;   /* what blocks */
    struct helper_pool *verifiers; /* the pure core */
    struct helper_pool *passwords; /* bcrypt: guesses must not hold up what writes content */
    unsigned password_checks;      /* atomic; under way */
    struct prom *prom;             /* may be NULL */
    struct log *log;               /* may be NULL */
    bool is_stored_only;           /* nothing is asked of registries: only what is stored counts */
    bool is_background; /* besides: nothing counts as used, what is old or would be denied
                           is left to whoever asks for it */
    struct exception_watch *exceptions; /* may be NULL */
    struct session_set *sessions;       /* NULL without clients */
    uint8_t token_key[32];              /* of tenants that configure none */
    struct recorder *recorder;          /* decisions to audit log and metrics; may be NULL */
    struct worker *workers[GATEWAY_MAX_WORKERS];
    size_t worker_count;
    struct request *spare_requests[GATEWAY_MAX_WORKERS]; /* each is its worker's alone */
    int64_t evidence_bytes; /* atomic: evidence in memory, against limits.evidence_memory */

    struct lock lock;
    struct generation *generation; /* under lock */
    uint64_t generation_number;    /* atomic; of the generation in force */
};

/* The generation in force; a new reference. */
struct generation *gateway_generation(struct gateway *gateway);
/* Whether GENERATION is still in force. Cheap: for the last look before an answer begins. */
bool gateway_is_current(const struct gateway *gateway, const struct generation *generation);
/* Put GENERATION (taken) in force. */
void gateway_adopt(struct gateway *gateway, struct generation *generation);

/* Wall clock, unix seconds. */
int64_t gateway_now(void);
/* When what is looked up now was used; 0: it was not. */
int64_t gateway_use_time(const struct gateway *gateway);

#endif
