/*
 * What a decision tells people, and its id's hash.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "metrics/text.h"
#include "policy/decide_internal.h"

#define DECIDE_MAX_WARNING 512
#define DECIDE_MAX_LOGGED 4 /* warnings about checks that are only logged */

/* ---- records ---- */

void decide_use(struct decide_state *state, const struct exception *exception)
{
    struct decision *out = state->out;

    for (size_t i = 0; i < out->use_count; i++) {
        if (out->uses[i].exception == exception) {
            return;
        }
    }
    if (out->uses == NULL) {
        out->uses = calloc(state->plan->exception_count, sizeof(*out->uses));
        if (out->uses == NULL) {
            state->is_out_of_memory = true;
            return;
        }
    }
    out->uses[out->use_count++] = (struct decide_use){
        .exception = exception, .days_left = exception_days_left(exception, state->now_unix_s)};
}

static void decide_describe(const struct decide_result *result, const char *tag,
                            struct gh_error *out)
{
    const struct verdict *verdict = result->verdict;

    if (result->cause == GH_TAG_DENIED) {
        (void)gh_fail(out, result->cause, "the policy refuses the tag %s", tag);
    } else if (result->cause == GH_DIGEST_REQUIRED) {
        (void)gh_fail(out, result->cause, "the policy asks for pulls by digest, not by the tag %s",
                      tag);
    } else if (result->leaf == NULL) {
        (void)gh_fail(out, result->cause,
                      "found %zu distinct signing authorities, the policy asks for %zu",
                      result->authorities, result->wanted);
    } else if (verdict != NULL && verdict->outcome != VERDICT_SATISFIED) {
        (void)gh_fail(out, verdict->error.cause, "%s: %s", result->leaf->label,
                      verdict->error.text[0] != '\0' ? verdict->error.text
                                                     : gh_cause_sentence(verdict->error.cause));
        gh_error_at(out, "%s", verdict->error.place);
    } else {
        (void)gh_fail(out, result->cause, "%s: %s", result->leaf->label,
                      result->cause == GH_VERDICT_STALE ? "not verified yet"
                                                        : gh_cause_sentence(result->cause));
    }
}

/* Why a child refuses its index: it is not signed itself, unless a limit kept it from being judged;
 * signing it would not help then. */
static enum gh_cause decide_child_cause(const struct decide_result *result, enum gh_cause inner)
{
    return result->state == DECIDE_STATE_DENIED && gh_cause_reason(inner) != GH_REASON_TOO_LARGE
               ? GH_CHILD_UNVERIFIED
               : inner;
}

/* A child that is refused refuses its index, and says which. */
static void decide_describe_child(const struct decide_result *result, struct gh_error *out)
{
    char digest[DIGEST_MAX_TEXT];
    struct gh_error inner = {0};

    digest_format(&result->child->digest, digest);
    decide_describe(result, "", &inner);
    (void)gh_fail(out, decide_child_cause(result, inner.cause),
                  "the manifest %s of the index: %.140s", digest, inner.text);
}

static void decide_describe_expired(const struct exception *expired,
                                    const struct decide_result *result, const char *tag,
                                    struct gh_error *out)
{
    struct gh_error inner = {0};
    struct text when = {0};

    decide_describe(result, tag, &inner);
    text_init(&when, 64);
    text_put_time(&when, expired->expires_unix_s);
    (void)gh_fail(out, GH_EXCEPTION_EXPIRED, "%.64s expired %s, and %.120s", expired->id,
                  text_cstr(&when), inner.text);
    text_done(&when);
}

void decide_failed(struct decide_state *state, const struct policy *policy, enum policy_mode mode,
                   const struct decide_result *result, const struct exception *expired)
{
    struct decision *out = state->out;
    struct decide_failure *failure;
    const char *tag = state->plan->image.tag == NULL ? "" : state->plan->image.tag;

    if (out->failures == NULL) {
        out->failures = calloc(state->plan->policy_count, sizeof(*out->failures));
        if (out->failures == NULL) {
            state->is_out_of_memory = true;
            return;
        }
    }
    failure = &out->failures[out->failure_count++];
    failure->policy = policy;
    failure->mode = mode;
    failure->is_undecided = result->state == DECIDE_STATE_UNDECIDED;
    if (expired != NULL) {
        decide_describe_expired(expired, result, tag, &failure->error);
    } else if (result->child != NULL) {
        decide_describe_child(result, &failure->error);
    } else {
        decide_describe(result, tag, &failure->error);
    }
}

/* ---- texts ---- */

static void decide_put_image(struct text *text, const struct decide_image *image)
{
    char digest[DIGEST_MAX_TEXT];

    digest_format(&image->digest, digest);
    text_printf(text, "%s%s%s@%s", image->name, image->tag == NULL ? "" : ":",
                image->tag == NULL ? "" : image->tag, digest);
}

/* Printable ASCII only, as it goes into headers and terminals; a quote would end a header's. */
static void decide_plain(char *text, bool is_header)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c >= 0x7f) {
            *text = '?';
        } else if (is_header && (c == '"' || c == '\\')) {
            *text = '\'';
        }
    }
}

static void decide_message(struct decide_state *state)
{
    struct decision *out = state->out;
    const struct policy *policy = out->policy;
    enum gh_reason reason = gh_cause_reason(out->error.cause);
    struct text text;

    text_init(&text, 4096);
    decide_put_image(&text, &state->plan->image);
    text_put(&text, out->is_subject_broken ? " is broken"
                    : out->outcome == DECIDE_UNDECIDED
                        ? " cannot be decided now (this is no denial)"
                        : " is denied");
    if (policy != NULL) {
        text_printf(&text, " by policy %s", policy->name);
        if (policy->owner[0] != '\0') {
            text_printf(&text, " (owner %.100s)", policy->owner);
        }
    }
    text_printf(&text, ": %s [%s]",
                out->error.text[0] != '\0' ? out->error.text : gh_cause_sentence(out->error.cause),
                gh_reason_label(reason));
    text_printf(&text, ". %s Decision %s", gh_reason_help(reason), out->id);
    out->message = text_take(&text);
    text_done(&text);
    if (out->message == NULL) {
        state->is_out_of_memory = true;
        return;
    }
    if (strlen(out->message) > DECIDE_MAX_MESSAGE) {
        /* The id is what people need most: it takes the place of the end. */
        (void)snprintf(out->message + DECIDE_MAX_MESSAGE - 64, 64, "... Decision %s", out->id);
    }
    decide_plain(out->message, false);
}

static void decide_warn(struct decide_state *state, struct text *text)
{
    struct decision *out = state->out;
    char *warning = text_take(text);

    text_done(text);
    if (warning == NULL) {
        state->is_out_of_memory = true;
        return;
    }
    decide_plain(warning, true);
    out->warnings[out->warning_count++] = warning;
}

/* The verdict of leaf I where it holds although checks failed, or NULL. */
static const struct verdict *decide_logged(const struct decide_state *state, size_t i)
{
    const struct verdict *verdict =
        state->input->verdicts != NULL ? state->input->verdicts[i] : NULL;
    bool counts = state->out->outcome == DECIDE_ALLOW && state->plan->leaves[i].is_blocking;

    return counts && verdict != NULL && verdict->outcome == VERDICT_SATISFIED &&
                   verdict->logged_count > 0
               ? verdict
               : NULL;
}

/* A signer may let failed checks pass; whoever pulls should not have to look for that. */
static void decide_warn_logged(struct decide_state *state)
{
    size_t told = 0;
    struct text text;

    for (size_t i = 0; i < state->plan->leaf_count && told < DECIDE_MAX_LOGGED; i++) {
        const struct verdict *verdict = decide_logged(state, i);

        if (verdict == NULL) {
            continue;
        }
        text_init(&text, DECIDE_MAX_WARNING);
        text_printf(&text, "%.100s holds, but a check that is only logged failed: %.240s [%s]",
                    state->plan->leaves[i].require->label, verdict->logged[0].text,
                    gh_cause_label(verdict->logged[0].cause));
        if (verdict->logged_count > 1) {
            text_printf(&text, " and %zu more", verdict->logged_count - 1);
        }
        text_printf(&text, ", decision %s", state->out->id);
        decide_warn(state, &text);
        told++;
    }
}

static void decide_warnings(struct decide_state *state)
{
    struct decision *out = state->out;
    size_t count = out->failure_count + out->use_count;
    struct text text;

    for (size_t i = 0, logged = 0; i < state->plan->leaf_count && logged < DECIDE_MAX_LOGGED; i++) {
        size_t is_told = decide_logged(state, i) != NULL;

        logged += is_told;
        count += is_told;
    }
    if (count == 0) {
        return;
    }
    out->warnings = calloc(count, sizeof(char *));
    if (out->warnings == NULL) {
        state->is_out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < out->use_count; i++) {
        const struct decide_use *use = &out->uses[i];

        text_init(&text, DECIDE_MAX_WARNING);
        text_printf(&text, "served under exception %.100s (owner %.100s), expires ",
                    use->exception->id, use->exception->owner);
        text_put_time(&text, use->exception->expires_unix_s);
        text_printf(&text, ", %lld day%s left, decision %s", (long long)use->days_left,
                    use->days_left == 1 ? "" : "s", out->id);
        decide_warn(state, &text);
    }
    for (size_t i = 0; i < out->failure_count; i++) {
        const struct decide_failure *failure = &out->failures[i];

        if (failure->mode != POLICY_WARN) {
            continue;
        }
        text_init(&text, DECIDE_MAX_WARNING);
        text_printf(&text, "policy %.100s %s: %.240s [%s], decision %s", failure->policy->name,
                    failure->is_undecided ? "could not be decided" : "is not met",
                    failure->error.text, gh_reason_label(gh_cause_reason(failure->error.cause)),
                    out->id);
        decide_warn(state, &text);
    }
    decide_warn_logged(state);
}

static void decide_requirements_of(struct decide_state *state, const struct policy *policy,
                                   const struct policy_expr *expr, const struct decide_child *child)
{
    struct decision *out = state->out;
    const struct verdict *const *verdicts =
        child == NULL ? state->input->verdicts : child->verdicts;
    struct decide_requirement *requirement;

    if (expr->kind != POLICY_LEAF) {
        for (size_t i = 0; i < expr->count; i++) {
            decide_requirements_of(state, policy, &expr->items[i], child);
        }
        return;
    }
    if (out->requirements == NULL) {
        return; /* only counting */
    }
    requirement = &out->requirements[out->requirement_count];
    requirement->policy = policy;
    requirement->require = expr->leaf;
    requirement->child = child;
    for (size_t i = 0; verdicts != NULL && i < state->plan->leaf_count; i++) {
        if (state->plan->leaves[i].require == expr->leaf) {
            requirement->verdict = verdicts[i];
        }
    }
    for (size_t i = 0; i < out->use_count; i++) {
        if (exception_concerns(out->uses[i].exception, policy) &&
            exception_waives(out->uses[i].exception, expr->leaf->label)) {
            requirement->waived_by = out->uses[i].exception;
        }
    }
    out->requirement_count++;
}

static size_t decide_leaves_of(const struct policy_expr *expr)
{
    size_t count = 0;

    if (expr->kind == POLICY_LEAF) {
        return 1;
    }
    for (size_t i = 0; i < expr->count; i++) {
        count += decide_leaves_of(&expr->items[i]);
    }
    return count;
}

static void decide_explain(struct decide_state *state)
{
    const struct decide_plan *plan = state->plan;
    struct decision *out = state->out;
    size_t count = 0;

    for (size_t i = 0; i < plan->policy_count; i++) {
        const struct policy *policy = plan->policies[i];

        count += decide_leaves_of(&policy->expr) *
                 (1 + (policy->is_each ? state->input->child_count : 0));
    }
    if (count == 0) {
        return;
    }
    out->requirements = calloc(count, sizeof(*out->requirements));
    if (out->requirements == NULL) {
        state->is_out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < plan->policy_count; i++) {
        const struct policy *policy = plan->policies[i];

        decide_requirements_of(state, policy, &policy->expr, NULL);
        for (size_t j = 0; policy->is_each && j < state->input->child_count; j++) {
            decide_requirements_of(state, policy, &policy->expr, &state->input->children[j]);
        }
    }
}

void decide_tell(struct decide_state *state)
{
    struct decision *out = state->out;

    if (out->outcome != DECIDE_ALLOW) {
        decide_message(state);
    }
    decide_warnings(state);
    if (state->input->is_explaining) {
        decide_explain(state);
    }
}

void decision_done(struct decision *decision)
{
    for (size_t i = 0; i < decision->warning_count; i++) {
        free(decision->warnings[i]);
    }
    free(decision->warnings);
    free(decision->message);
    free(decision->failures);
    free(decision->uses);
    free(decision->missing);
    free(decision->requirements);
    memset(decision, 0, sizeof(*decision));
}

/* ---- the id's hash ---- */

void decide_hash_init(struct decide_hash *hash)
{
    hash->used = 0;
    memset(hash->chain, 0, sizeof(hash->chain));
}

/* What does not fit is folded into the chain, so that everything counts. */
static void decide_hash_fold(struct decide_hash *hash)
{
    uint8_t next[32];

    (void)crypto_generichash(next, sizeof(next), hash->buffer, hash->used, hash->chain,
                             sizeof(hash->chain));
    memcpy(hash->chain, next, sizeof(next));
    hash->used = 0;
}

void decide_hash_put(struct decide_hash *hash, const void *data, size_t len)
{
    const uint8_t *from = data;

    while (len > 0) {
        size_t room = sizeof(hash->buffer) - hash->used;
        size_t part = GH_MIN(room, len);

        if (part == 0) {
            decide_hash_fold(hash);
            continue;
        }
        memcpy(hash->buffer + hash->used, from, part);
        hash->used += part;
        from += part;
        len -= part;
    }
}

void decide_hash_put_text(struct decide_hash *hash, const char *text)
{
    size_t len = strlen(text);

    decide_hash_put_int(hash, (unsigned)len);
    decide_hash_put(hash, text, len);
}

void decide_hash_put_int(struct decide_hash *hash, unsigned value)
{
    uint8_t raw[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                      (uint8_t)value};

    decide_hash_put(hash, raw, sizeof(raw));
}

void decide_hash_final(struct decide_hash *hash, uint8_t out[16])
{
    (void)crypto_generichash(out, 16, hash->buffer, hash->used, hash->chain, sizeof(hash->chain));
}
