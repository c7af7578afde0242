/*
 * The decision. Nothing here verifies: verdicts come in, and what follows from them goes out.
 */
#include "policy/decide.h"

#include <stdlib.h>
#include <string.h>

#include "policy/decide_internal.h"

const char *decide_outcome_label(enum decide_outcome outcome)
{
    switch (outcome) {
    case DECIDE_DENY:
        return "deny";
    case DECIDE_UNDECIDED:
        return "error";
    case DECIDE_ALLOW:
        return "allow";
    }
    return "deny";
}

static void decide_until(struct decide_state *state, int64_t unix_s)
{
    if (unix_s > state->now_unix_s && unix_s < state->out->until_unix_s) {
        state->out->until_unix_s = unix_s;
    }
}

static bool decide_miss(struct decide_state *state, size_t leaf)
{
    struct decision *out = state->out;

    for (size_t i = 0; i < out->missing_count; i++) {
        if (out->missing[i] == leaf) {
            return true;
        }
    }
    if (out->missing == NULL) {
        out->missing = calloc(state->plan->leaf_count, sizeof(*out->missing));
        if (out->missing == NULL) {
            state->is_out_of_memory = true;
            return false;
        }
    }
    out->missing[out->missing_count++] = leaf;
    return true;
}

/* The place of a leaf in the plan. */
static size_t decide_leaf_at(const struct decide_plan *plan, const struct require *leaf)
{
    size_t low = 0;
    size_t high = plan->leaf_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (plan->leaves[middle].require == leaf) {
            return middle;
        }
        if (plan->leaves[middle].require->index < leaf->index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return SIZE_MAX;
}

static const struct exception *decide_waiver(const struct decide_scope *scope, const char *label)
{
    for (size_t i = 0; i < scope->waiver_count; i++) {
        if (exception_waives(scope->waivers[i], label)) {
            return scope->waivers[i];
        }
    }
    return NULL;
}

static bool decide_is_root_stale(const struct signer *signer, int64_t now_unix_s)
{
    return signer != NULL && signer->root != NULL && signer->root_stale_at_unix_s <= now_unix_s;
}

static struct decide_result decide_leaf_result(struct decide_state *state,
                                               const struct decide_scope *scope,
                                               const struct require *leaf)
{
    struct decide_result result = {.state = DECIDE_STATE_DENIED, .leaf = leaf};
    const struct verdict *const *verdicts =
        scope->child == NULL ? state->input->verdicts : scope->child->verdicts;
    size_t at = decide_leaf_at(state->plan, leaf);
    const struct verdict *verdict = at == SIZE_MAX || verdicts == NULL ? NULL : verdicts[at];

    if (decide_waiver(scope, leaf->label) != NULL) {
        result.state = DECIDE_STATE_SATISFIED;
        result.is_waived = true;
        return result;
    }
    result.verdict = verdict;
    if (verdict == NULL ||
        (verdict->outcome == VERDICT_SATISFIED && verdict->until_unix_s < state->now_unix_s)) {
        /* What is not known, or no longer, decides nothing. */
        result.state = DECIDE_STATE_UNDECIDED;
        result.cause = verdict == NULL ? GH_VERDICT_STALE : GH_VERDICT_EXPIRED;
        if (at != SIZE_MAX) {
            (void)decide_miss(state, at);
        }
        return result;
    }
    if (verdict->outcome != VERDICT_SATISFIED) {
        result.state =
            verdict->outcome == VERDICT_UNDECIDED ? DECIDE_STATE_UNDECIDED : DECIDE_STATE_DENIED;
        result.cause = verdict->error.cause;
        return result;
    }
    if (decide_is_root_stale(leaf->signer, state->now_unix_s) ||
        decide_is_root_stale(leaf->provenance_signer, state->now_unix_s)) {
        result.state = DECIDE_STATE_UNDECIDED;
        result.cause = GH_TRUST_ROOT_STALE;
        return result;
    }
    decide_until(state, verdict->until_unix_s == INT64_MAX ? INT64_MAX : verdict->until_unix_s + 1);
    decide_until(state, leaf->signer->root_stale_at_unix_s);
    if (leaf->provenance_signer != NULL) {
        decide_until(state, leaf->provenance_signer->root_stale_at_unix_s);
    }
    result.state = DECIDE_STATE_SATISFIED;
    result.is_emergency = leaf->signer->is_emergency;
    return result;
}

static struct decide_result decide_all(struct decide_state *state, const struct decide_scope *scope,
                                       const struct policy_expr *expr)
{
    struct decide_result worst = {.state = DECIDE_STATE_SATISFIED};

    for (size_t i = 0; i < expr->count; i++) {
        struct decide_result result = decide_expr(state, scope, &expr->items[i]);

        if (result.state < worst.state) { /* the first of the worst */
            bool is_emergency = worst.is_emergency;

            worst = result;
            worst.is_emergency = worst.is_emergency || is_emergency;
        } else {
            worst.is_emergency = worst.is_emergency || result.is_emergency;
        }
    }
    return worst;
}

static struct decide_result decide_any(struct decide_state *state, const struct decide_scope *scope,
                                       const struct policy_expr *expr)
{
    struct decide_result best = {.state = DECIDE_STATE_DENIED};
    size_t missing = state->out->missing_count;

    for (size_t i = 0; i < expr->count; i++) {
        struct decide_result result = decide_expr(state, scope, &expr->items[i]);

        if (result.state == DECIDE_STATE_SATISFIED && !result.is_emergency) {
            state->out->missing_count = missing; /* what the branches before lack matters no more */
            return result;
        }
        /* A branch of an emergency signer counts only where no other will do. */
        if (i == 0 || result.state > best.state) {
            best = result;
        }
    }
    return best;
}

struct decide_result decide_expr(struct decide_state *state, const struct decide_scope *scope,
                                 const struct policy_expr *expr)
{
    switch (expr->kind) {
    case POLICY_LEAF:
        return decide_leaf_result(state, scope, expr->leaf);
    case POLICY_ALL:
        return decide_all(state, scope, expr);
    case POLICY_ANY:
        return decide_any(state, scope, expr);
    case POLICY_AT_LEAST:
        return decide_at_least(state, scope, expr);
    }
    return (struct decide_result){.state = DECIDE_STATE_DENIED, .cause = GH_INTERNAL_ERROR};
}

/* What a policy asks of the name the image was asked for by. */
static struct decide_result decide_name(const struct decide_state *state,
                                        const struct decide_scope *scope)
{
    struct decide_result result = {.state = DECIDE_STATE_SATISFIED};
    const struct policy *policy = scope->policy;
    const char *tag = state->plan->image.tag;

    if (tag == NULL) {
        return result;
    }
    for (size_t i = 0; i < policy->deny_tag_count; i++) {
        if (strcmp(policy->deny_tags[i], tag) == 0 && decide_waiver(scope, "deny_tags") == NULL) {
            result.state = DECIDE_STATE_DENIED;
            result.cause = GH_TAG_DENIED;
            return result;
        }
    }
    if (policy->is_digest_required && decide_waiver(scope, "require_digest") == NULL) {
        result.state = DECIDE_STATE_DENIED;
        result.cause = GH_DIGEST_REQUIRED;
    }
    return result;
}

/* One policy with the waivers of SCOPE: its name rules, the subject, and where it asks for it every
 * child. */
static struct decide_result decide_policy_with(struct decide_state *state,
                                               const struct decide_scope *scope)
{
    struct decide_result worst = decide_name(state, scope);
    struct decide_result result = decide_expr(state, scope, &scope->policy->expr);

    if (result.state < worst.state) {
        worst = result;
    }
    worst.is_emergency = result.is_emergency;
    for (size_t i = 0; scope->policy->is_each && i < state->input->child_count; i++) {
        struct decide_scope child = *scope;

        child.child = &state->input->children[i];
        result = decide_expr(state, &child, &scope->policy->expr);
        worst.is_emergency = worst.is_emergency || result.is_emergency;
        if (result.state < worst.state) {
            worst = result;
            worst.child = child.child;
        }
    }
    return worst;
}

/* Whether the exceptions in force satisfy the policy: one that does alone, else all together. */
static bool decide_excepted(struct decide_state *state, struct decide_scope *scope,
                            struct decide_result *result)
{
    const struct decide_plan *plan = state->plan;
    const struct exception **waivers;
    size_t count = 0;
    bool is_excepted = false;

    if (plan->exception_count == 0) {
        return false;
    }
    waivers = calloc(plan->exception_count, sizeof(const struct exception *));
    if (waivers == NULL) {
        state->is_out_of_memory = true;
        return false;
    }
    for (size_t i = 0; i < plan->exception_count && !is_excepted; i++) {
        struct decide_result alone;

        if (!exception_in_force(plan->exceptions[i], state->now_unix_s) ||
            !exception_concerns(plan->exceptions[i], scope->policy)) {
            continue;
        }
        waivers[count++] = plan->exceptions[i];
        scope->waivers = &plan->exceptions[i];
        scope->waiver_count = 1;
        alone = decide_policy_with(state, scope);
        is_excepted = alone.state == DECIDE_STATE_SATISFIED;
        if (is_excepted) {
            *result = alone;
            decide_use(state, plan->exceptions[i]);
        }
    }
    if (!is_excepted && count > 1) {
        struct decide_result together;

        scope->waivers = waivers;
        scope->waiver_count = count;
        together = decide_policy_with(state, scope);
        is_excepted = together.state == DECIDE_STATE_SATISFIED;
        if (is_excepted) {
            *result = together;
            for (size_t i = 0; i < count; i++) {
                decide_use(state, waivers[i]);
            }
        }
    }
    scope->waivers = NULL;
    scope->waiver_count = 0;
    free(waivers);
    return is_excepted;
}

/* An exception that would have let the image through and has ended: people look for that first. */
static const struct exception *decide_expired(struct decide_state *state,
                                              struct decide_scope *scope)
{
    const struct decide_plan *plan = state->plan;
    const struct exception *found = NULL;

    for (size_t i = 0; i < plan->exception_count && found == NULL; i++) {
        const struct exception *exception = plan->exceptions[i];

        if (exception->expires_unix_s > state->now_unix_s ||
            !exception_concerns(exception, scope->policy)) {
            continue;
        }
        scope->waivers = &exception;
        scope->waiver_count = 1;
        found = decide_policy_with(state, scope).state == DECIDE_STATE_SATISFIED ? exception : NULL;
    }
    scope->waivers = NULL;
    scope->waiver_count = 0;
    return found;
}

static void decide_policy(struct decide_state *state, const struct policy *policy)
{
    struct decide_scope scope = {.policy = policy};
    enum policy_mode mode = policy_mode_at(policy, state->now_unix_s);
    struct decide_result result = decide_policy_with(state, &scope);

    for (size_t i = 0; i < policy->stage_count; i++) {
        decide_until(state, policy->stages[i].until_unix_s);
    }
    if (result.state != DECIDE_STATE_SATISFIED && decide_excepted(state, &scope, &result)) {
        state->out->bypasses |= DECIDE_BYPASS_EXCEPTION;
    }
    if (result.state == DECIDE_STATE_SATISFIED) {
        state->out->bypasses |= result.is_emergency ? DECIDE_BYPASS_EMERGENCY : 0;
        return;
    }
    if (mode == POLICY_WARN) {
        state->out->bypasses |= DECIDE_BYPASS_WARN;
    } else if (mode == POLICY_AUDIT) {
        state->out->bypasses |= DECIDE_BYPASS_AUDIT;
    }
    decide_failed(state, policy, mode, &result,
                  result.state == DECIDE_STATE_DENIED ? decide_expired(state, &scope) : NULL);
}

/* What no policy covers is refused, unless an exception names its digest. */
static bool decide_uncovered(struct decide_state *state)
{
    const struct decide_plan *plan = state->plan;

    if (plan->is_covered) {
        return false;
    }
    for (size_t i = 0; i < plan->exception_count; i++) {
        const struct exception *exception = plan->exceptions[i];

        if (exception->is_for_uncovered && exception_in_force(exception, state->now_unix_s)) {
            decide_use(state, exception);
            state->out->bypasses |= DECIDE_BYPASS_EXCEPTION;
            return false;
        }
    }
    return true;
}

/* The failure whose reason is shown: denied before undecided, then by name (they are in order). */
static const struct decide_failure *decide_shown(const struct decision *out)
{
    const struct decide_failure *undecided = NULL;

    for (size_t i = 0; i < out->failure_count; i++) {
        const struct decide_failure *failure = &out->failures[i];

        if (failure->mode != POLICY_DENY) {
            continue;
        }
        if (!failure->is_undecided) {
            return failure;
        }
        if (undecided == NULL) {
            undecided = failure;
        }
    }
    return undecided;
}

static void decide_conclude(struct decide_state *state, bool is_uncovered)
{
    struct decision *out = state->out;
    const struct decide_failure *shown = decide_shown(out);
    const struct gh_error *integrity = state->input->integrity;

    if (integrity != NULL && integrity->cause != GH_CAUSE_NONE) {
        out->is_subject_broken = true;
        out->error = *integrity;
    } else if (is_uncovered) {
        (void)gh_fail(&out->error, GH_POLICY_NO_MATCH, "no policy covers %s",
                      state->plan->image.name);
    } else if (state->is_out_of_memory) {
        out->outcome = DECIDE_UNDECIDED;
        (void)gh_fail(&out->error, GH_INTERNAL_ERROR, "no memory to decide");
    } else if (shown != NULL) {
        out->outcome = shown->is_undecided ? DECIDE_UNDECIDED : DECIDE_DENY;
        out->policy = shown->policy;
        out->error = shown->error;
    } else {
        out->outcome = DECIDE_ALLOW; /* the only place in the tree */
    }
}

void decide_name_id(const uint8_t hash[16], char out[DECIDE_ID_BYTES + 1])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned bits = 0;
    uint32_t window = 0;
    size_t used = 0;

    for (size_t i = 0; i < 16 && used < DECIDE_ID_BYTES; i++) {
        window = window << 8 | hash[i];
        bits += 8;
        while (bits >= 5 && used < DECIDE_ID_BYTES) {
            bits -= 5;
            out[used++] = digits[window >> bits & 31];
        }
    }
    out[used] = '\0';
}

/*
 * The same decision always has the same id: subject, policy and what came of them, and nothing that
 * changes with the clock or with which verdicts happened to be known.
 */
static void decide_identify(struct decide_state *state)
{
    const struct decide_plan *plan = state->plan;
    struct decision *out = state->out;
    struct decide_hash hash;
    uint8_t id[16];

    decide_hash_init(&hash);
    decide_hash_put(&hash, plan->snapshot->fingerprint.value,
                    digest_alg_len(plan->snapshot->fingerprint.alg));
    decide_hash_put_text(&hash, plan->image.name);
    decide_hash_put_text(&hash, plan->image.tag == NULL ? "" : plan->image.tag);
    decide_hash_put(&hash, plan->image.digest.value, digest_alg_len(plan->image.digest.alg));
    decide_hash_put_int(&hash, out->outcome);
    decide_hash_put_int(&hash, out->error.cause);
    for (size_t i = 0; i < out->failure_count; i++) {
        decide_hash_put_int(&hash, (unsigned)out->failures[i].policy->index);
        decide_hash_put_int(&hash, (unsigned)out->failures[i].mode << 16 |
                                       (unsigned)out->failures[i].error.cause);
    }
    for (size_t i = 0; i < out->use_count; i++) {
        decide_hash_put_int(&hash, (unsigned)out->uses[i].exception->index);
    }
    decide_hash_final(&hash, id);
    decide_name_id(id, out->id);
}

bool decide(const struct decide_plan *plan, const struct decide_input *input, int64_t now_unix_s,
            struct decision *out, struct gh_error *err)
{
    struct decide_state state = {
        .plan = plan, .input = input, .now_unix_s = now_unix_s, .out = out};
    bool is_uncovered;

    memset(out, 0, sizeof(*out));
    out->until_unix_s = INT64_MAX;
    out->fingerprint = plan->snapshot->fingerprint_text;
    for (size_t i = 0; i < plan->exception_count; i++) {
        decide_until(&state, plan->exceptions[i]->created_unix_s);
        decide_until(&state, plan->exceptions[i]->expires_unix_s);
    }
    is_uncovered = decide_uncovered(&state);
    for (size_t i = 0; i < plan->policy_count; i++) {
        decide_policy(&state, plan->policies[i]);
    }
    decide_conclude(&state, is_uncovered);
    decide_identify(&state);
    decide_tell(&state);
    if (state.is_out_of_memory) {
        if (out->outcome == DECIDE_ALLOW) {
            out->outcome = DECIDE_UNDECIDED;
        }
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory to decide");
    }
    return true;
}
