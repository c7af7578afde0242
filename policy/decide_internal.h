/*
 * Between the files of the decision.
 */
#ifndef POLICY_DECIDE_INTERNAL_H
#define POLICY_DECIDE_INTERNAL_H

#include "gatehouse.h"
#include "policy/decide.h"

/* In order of rank: a lower one outranks. */
enum decide_standing { DECIDE_STATE_DENIED = 0, DECIDE_STATE_UNDECIDED, DECIDE_STATE_SATISFIED };

struct decide_state {
    const struct decide_plan *plan;
    const struct decide_input *input;
    int64_t now_unix_s;
    struct decision *out;
    bool is_out_of_memory;
};

/* What an expression is looked at for. */
struct decide_scope {
    const struct policy *policy;
    const struct decide_child *child; /* NULL: the subject */
    const struct exception *const *waivers;
    size_t waiver_count;
};

struct decide_result {
    enum decide_standing state;
    enum gh_cause cause;           /* why not, unless verdict->error says it */
    const struct require *leaf;    /* the first that failed; NULL where none did by itself */
    const struct verdict *verdict; /* of that leaf */
    const struct decide_child *child;
    size_t authorities, wanted; /* at_least: distinct ones found, and asked for */
    bool is_waived;
    bool is_emergency;
};

struct decide_result decide_expr(struct decide_state *state, const struct decide_scope *scope,
                                 const struct policy_expr *expr);
struct decide_result decide_at_least(struct decide_state *state, const struct decide_scope *scope,
                                     const struct policy_expr *expr);

/* decide_tell.c: records and texts */
void decide_use(struct decide_state *state, const struct exception *exception);
void decide_failed(struct decide_state *state, const struct policy *policy, enum policy_mode mode,
                   const struct decide_result *result, const struct exception *expired);
void decide_tell(struct decide_state *state);

/* BLAKE2b over what was decided: collision resistant, and quick enough for every answer. */
#define DECIDE_HASH_BYTES 1024

struct decide_hash {
    uint8_t buffer[DECIDE_HASH_BYTES];
    size_t used;
    uint8_t chain[32]; /* of what did not fit */
};

void decide_hash_init(struct decide_hash *hash);
void decide_hash_put(struct decide_hash *hash, const void *data, size_t len);
void decide_hash_put_text(struct decide_hash *hash, const char *text);
void decide_hash_put_int(struct decide_hash *hash, unsigned value);
void decide_hash_final(struct decide_hash *hash, uint8_t out[16]);

#endif
