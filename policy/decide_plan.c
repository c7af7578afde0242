/*
 * Which policies, leaves and exceptions an image concerns.
 */
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/decide.h"

#define DECIDE_INLINE_IDS 64

struct decide_ids {
    uint32_t fixed[DECIDE_INLINE_IDS];
    uint32_t *items; /* fixed, or new */
    size_t count;
};

static int decide_compare_ids(const void *a, const void *b)
{
    const uint32_t *left = a;
    const uint32_t *right = b;

    return *left < *right ? -1 : *left > *right;
}

enum digest_alg decide_wants_twin(const struct snapshot *snapshot, const struct digest *digest)
{
    enum digest_alg other = digest->alg == DIGEST_SHA512 ? DIGEST_SHA256 : DIGEST_SHA512;

    return image_index_pins(snapshot->images, other) ||
                   (snapshot->exception_count > 0 &&
                    image_index_pins(snapshot->exception_index, other))
               ? other
               : DIGEST_NONE;
}

/* By one digest and the other. */
static size_t decide_match(const struct image_index *index, const struct decide_image *image,
                           uint32_t *out, size_t room)
{
    size_t found = image_index_match(index, image->name, &image->digest, out, room);
    size_t used = GH_MIN(found, room);

    if (image->twin.alg != DIGEST_NONE) {
        found += image_index_match(index, image->name, &image->twin, out + used, room - used);
    }
    return found;
}

/* Sorted and without repeats. */
static bool decide_find(const struct image_index *index, const struct decide_image *image,
                        struct decide_ids *ids)
{
    size_t unique = 0;

    ids->items = ids->fixed;
    ids->count = decide_match(index, image, ids->fixed, DECIDE_INLINE_IDS);
    if (ids->count > DECIDE_INLINE_IDS) {
        ids->items = calloc(ids->count, sizeof(*ids->items));
        if (ids->items == NULL) {
            return false;
        }
        (void)decide_match(index, image, ids->items, ids->count);
        qsort(ids->items, ids->count, sizeof(*ids->items), decide_compare_ids);
    } else {
        for (size_t i = 1; i < ids->count; i++) { /* few: sorted as they stand */
            uint32_t id = ids->items[i];
            size_t at = i;

            for (; at > 0 && ids->items[at - 1] > id; at--) {
                ids->items[at] = ids->items[at - 1];
            }
            ids->items[at] = id;
        }
    }
    for (size_t i = 0; i < ids->count; i++) {
        if (unique == 0 || ids->items[unique - 1] != ids->items[i]) {
            ids->items[unique++] = ids->items[i];
        }
    }
    ids->count = unique;
    return true;
}

static void decide_ids_done(struct decide_ids *ids)
{
    if (ids->items != ids->fixed) {
        free(ids->items);
    }
}

static bool decide_plan_policies(struct decide_plan *plan, const struct decide_ids *ids)
{
    if (ids->count > DECIDE_INLINE_POLICIES) {
        plan->policies = calloc(ids->count, sizeof(const struct policy *));
        if (plan->policies == NULL) {
            plan->policies = plan->inline_policies;
            return false;
        }
    }
    for (size_t i = 0; i < ids->count; i++) {
        uint32_t id = ids->items[i];
        const struct policy *policy = &plan->snapshot->policies[id / 2];

        /* An even id covers; the odd one after it excepts. */
        if (id % 2 == 1 || (i + 1 < ids->count && ids->items[i + 1] == id + 1)) {
            continue;
        }
        plan->policies[plan->policy_count++] = policy;
        plan->is_covered = plan->is_covered || !policy->is_baseline;
        plan->is_each = plan->is_each || policy->is_each;
    }
    return true;
}

static size_t decide_count_leaves(const struct policy_expr *expr)
{
    size_t count = 0;

    if (expr->kind == POLICY_LEAF) {
        return 1;
    }
    for (size_t i = 0; i < expr->count; i++) {
        count += decide_count_leaves(&expr->items[i]);
    }
    return count;
}

struct decide_collect {
    struct decide_plan *plan;
    bool is_blocking;
    bool is_each;
};

/* In order of their index, each once. */
static void decide_collect_leaf(const struct decide_collect *collect, const struct require *leaf,
                                bool is_counted)
{
    struct decide_plan *plan = collect->plan;
    size_t at = plan->leaf_count;

    while (at > 0 && plan->leaves[at - 1].require->index > leaf->index) {
        at--;
    }
    if (at == 0 || plan->leaves[at - 1].require != leaf) {
        memmove(&plan->leaves[at + 1], &plan->leaves[at],
                (plan->leaf_count - at) * sizeof(*plan->leaves));
        plan->leaves[at] = (struct decide_leaf){.require = leaf};
        plan->leaf_count++;
    } else {
        at--;
    }
    plan->leaves[at].is_all_authorities = plan->leaves[at].is_all_authorities || is_counted;
    plan->leaves[at].is_blocking = plan->leaves[at].is_blocking || collect->is_blocking;
    plan->leaves[at].is_each = plan->leaves[at].is_each || collect->is_each;
}

static void decide_collect(const struct decide_collect *collect, const struct policy_expr *expr,
                           bool is_counted)
{
    if (expr->kind == POLICY_LEAF) {
        decide_collect_leaf(collect, expr->leaf, is_counted);
        return;
    }
    for (size_t i = 0; i < expr->count; i++) {
        decide_collect(collect, &expr->items[i], is_counted || expr->kind == POLICY_AT_LEAST);
    }
}

static bool decide_plan_leaves(struct decide_plan *plan, int64_t now_unix_s)
{
    size_t most = 0;

    for (size_t i = 0; i < plan->policy_count; i++) {
        most += decide_count_leaves(&plan->policies[i]->expr);
    }
    most = GH_MIN(most, plan->snapshot->leaf_count);
    if (most + 1 > DECIDE_INLINE_LEAVES) {
        plan->leaves = calloc(most + 1, sizeof(*plan->leaves));
        if (plan->leaves == NULL) {
            plan->leaves = plan->inline_leaves;
            return false;
        }
    }
    for (size_t i = 0; i < plan->policy_count; i++) {
        struct decide_collect collect = {
            .plan = plan,
            .is_blocking = policy_mode_at(plan->policies[i], now_unix_s) == POLICY_DENY,
            .is_each = plan->policies[i]->is_each};

        decide_collect(&collect, &plan->policies[i]->expr, false);
    }
    return true;
}

static bool decide_is_concerned(const struct decide_plan *plan, const struct exception *exception)
{
    if (exception->is_for_uncovered && !plan->is_covered) {
        return true;
    }
    for (size_t i = 0; i < plan->policy_count; i++) {
        if (exception_concerns(exception, plan->policies[i])) {
            return true;
        }
    }
    return false;
}

static bool decide_plan_exceptions(struct decide_plan *plan)
{
    struct decide_ids ids;
    bool is_done = true;

    if (plan->snapshot->exception_count == 0) {
        return true;
    }
    if (!decide_find(plan->snapshot->exception_index, &plan->image, &ids)) {
        return false;
    }
    if (ids.count > DECIDE_INLINE_POLICIES) {
        const struct exception **more = calloc(ids.count, sizeof(const struct exception *));

        is_done = more != NULL;
        if (is_done) {
            plan->exceptions = more;
        }
    }
    for (size_t i = 0; is_done && i < ids.count; i++) {
        const struct exception *exception = &plan->snapshot->exceptions[ids.items[i]];

        if (decide_is_concerned(plan, exception)) {
            plan->exceptions[plan->exception_count++] = exception;
        }
    }
    decide_ids_done(&ids);
    return is_done;
}

bool decide_plan(const struct snapshot *snapshot, const struct decide_image *image,
                 int64_t now_unix_s, struct decide_plan *plan, struct gh_error *err)
{
    struct decide_ids ids;
    bool is_done;

    plan->snapshot = snapshot;
    plan->image = *image;
    plan->is_covered = false;
    plan->is_each = false;
    plan->policies = plan->inline_policies;
    plan->policy_count = 0;
    plan->leaves = plan->inline_leaves;
    plan->leaf_count = 0;
    plan->exceptions = plan->inline_exceptions;
    plan->exception_count = 0;
    is_done = decide_find(snapshot->images, image, &ids) && decide_plan_policies(plan, &ids) &&
              decide_plan_leaves(plan, now_unix_s) && decide_plan_exceptions(plan);
    decide_ids_done(&ids);
    if (!is_done) {
        decide_plan_done(plan);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory to find the policies of an image");
    }
    return true;
}

void decide_plan_done(struct decide_plan *plan)
{
    if (plan->policies != plan->inline_policies) {
        free(plan->policies);
    }
    if (plan->leaves != plan->inline_leaves) {
        free(plan->leaves);
    }
    if (plan->exceptions != plan->inline_exceptions) {
        free(plan->exceptions);
    }
    plan->policies = plan->inline_policies;
    plan->leaves = plan->inline_leaves;
    plan->exceptions = plan->inline_exceptions;
    plan->policy_count = 0;
    plan->leaf_count = 0;
    plan->exception_count = 0;
}
