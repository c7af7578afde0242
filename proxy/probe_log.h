/*
 * One look at a transparency log: its tree head, and where the tree has grown the proof that it
 * continues what was seen before. Answers are hostile; what counts is signed by the log's key or
 * proved by hashes.
 *
 * Threads: the upstream client's own
 */
#ifndef PROXY_PROBE_LOG_H
#define PROXY_PROBE_LOG_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "metrics/error.h"
#include "proxy/probe_memory.h"

struct trustroot_log;
struct upstream;
struct upstream_client;

#define PROBE_LOG_MAX_KEYS 8        /* of one address: keys may overlap while they are replaced */
#define PROBE_LOG_TIMEOUT_MS 15000  /* of one request */
#define PROBE_LOG_DEADLINE_MS 90000 /* of the whole look */

/* Everything is borrowed until the look is over or cancelled. */
struct probe_log_ask {
    struct upstream_client *client;
    struct upstream *upstream; /* of the log's address */
    const struct trustroot_log *keys[PROBE_LOG_MAX_KEYS];
    size_t key_count;
    const struct probe_memory *memory;
};

enum probe_log_outcome {
    PROBE_LOG_FAILED = 0, /* nothing was learned: not reached, or no signed answer */
    PROBE_LOG_GOOD,       /* signed, and it continues what was seen before */
    PROBE_LOG_ALARM       /* signed, and it does not */
};

struct probe_log_result {
    enum probe_log_outcome outcome;
    enum probe_kind kind;
    struct bytes_buf note; /* the log's checkpoint as it stands there; taken by leaving zeroes */
    uint64_t size;         /* of its tree */
    struct gh_error error; /* unless good */
};

typedef void (*probe_log_fn)(void *ctx, struct probe_log_result *result);

struct probe_log;
/* FN is called once, never from within this call, and not after probe_log_cancel(). NULL when
 * memory is out. */
struct probe_log *probe_log_start(const struct probe_log_ask *ask, probe_log_fn fn, void *ctx);
void probe_log_cancel(struct probe_log *look);

#endif
