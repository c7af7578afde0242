/*
 * at_least: as many requirements must hold as it says, each vouched for by a signing authority of
 * its own. One key that stands behind two signers counts once, and so does one signer whose two
 * keys both signed.
 */
#include <string.h>

#include "policy/decide_internal.h"

#define DECIDE_MAX_ITEMS 64

struct decide_item {
    const struct digest *authorities[VERDICT_MAX_AUTHORITIES];
    size_t count;
    bool is_waived; /* an exception stands in: an authority of its own */
};

struct decide_match {
    struct decide_item items[DECIDE_MAX_ITEMS];
    size_t count;
    const struct digest *taken[DECIDE_MAX_ITEMS]; /* by the item that holds it */
    bool is_tried[DECIDE_MAX_ITEMS];
};

static void decide_authorities(struct decide_state *state, const struct decide_scope *scope,
                               const struct policy_expr *expr, struct decide_item *item)
{
    struct decide_result result = decide_expr(state, scope, expr);

    if (result.state != DECIDE_STATE_SATISFIED) {
        return;
    }
    if (expr->kind != POLICY_LEAF) {
        for (size_t i = 0; i < expr->count; i++) {
            decide_authorities(state, scope, &expr->items[i], item);
        }
        return;
    }
    if (result.is_waived) {
        item->is_waived = true;
        return;
    }
    for (size_t i = 0; i < result.verdict->authority_count; i++) {
        if (item->count < VERDICT_MAX_AUTHORITIES) {
            item->authorities[item->count++] = &result.verdict->authorities[i];
        }
    }
}

static size_t decide_holder(const struct decide_match *match, const struct digest *authority)
{
    for (size_t i = 0; i < match->count; i++) {
        if (match->taken[i] != NULL && digest_equal(match->taken[i], authority)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* An augmenting path from ITEM; depth is bounded by the number of items. */
static bool decide_augment(struct decide_match *match, size_t item)
{
    if (match->is_tried[item]) {
        return false;
    }
    match->is_tried[item] = true;
    for (size_t i = 0; i < match->items[item].count; i++) {
        const struct digest *authority = match->items[item].authorities[i];
        size_t holder = decide_holder(match, authority);

        if (holder == item) {
            continue;
        }
        if (holder == SIZE_MAX || decide_augment(match, holder)) {
            match->taken[item] = authority;
            return true;
        }
    }
    return false;
}

struct decide_result decide_at_least(struct decide_state *state, const struct decide_scope *scope,
                                     const struct policy_expr *expr)
{
    struct decide_result out = {.state = DECIDE_STATE_SATISFIED, .wanted = expr->threshold};
    struct decide_result first = {.state = DECIDE_STATE_SATISFIED};
    struct decide_match match;
    size_t undecided = 0;
    size_t missing = state->out->missing_count;

    memset(match.taken, 0, sizeof(match.taken));
    match.count = 0;
    for (size_t i = 0; i < expr->count && match.count < DECIDE_MAX_ITEMS; i++) {
        struct decide_result result = decide_expr(state, scope, &expr->items[i]);
        struct decide_item *item = &match.items[match.count];

        if (result.state != DECIDE_STATE_SATISFIED) {
            undecided += result.state == DECIDE_STATE_UNDECIDED ? 1 : 0;
            if (result.state < first.state) {
                first = result;
            }
            continue;
        }
        item->count = 0;
        item->is_waived = false;
        decide_authorities(state, scope, &expr->items[i], item);
        out.is_emergency = out.is_emergency || result.is_emergency;
        match.count++;
        memset(match.is_tried, 0, sizeof(match.is_tried));
        if (item->is_waived || decide_augment(&match, match.count - 1)) {
            out.authorities++;
        }
    }
    if (out.authorities >= expr->threshold) {
        if (!out.is_emergency) {
            state->out->missing_count = missing; /* enough hold: the rest matters no more */
        }
        return out;
    }
    out.state = out.authorities + undecided >= expr->threshold ? DECIDE_STATE_UNDECIDED
                                                               : DECIDE_STATE_DENIED;
    if (first.state == DECIDE_STATE_SATISFIED) {
        out.cause = GH_POLICY_DENIED; /* all hold, but by the same hands */
        return out;
    }
    first.state = out.state;
    first.authorities = out.authorities;
    first.wanted = out.wanted;
    return first;
}
