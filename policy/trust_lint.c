#include "policy/trust_lint.h"

#include <stdarg.h>
#include <stdio.h>

#include "crypto/key.h"
#include "crypto/signer.h"
#include "gatehouse.h"
#include "policy/config.h"

#define TRUST_LINT_DAY_S 86400
#define TRUST_LINT_MAX_TEXT 512

struct trust_lint {
    const char *subject;
    trust_lint_fn fn;
    void *context;
};

static void trust_lint_tell(const struct trust_lint *lint, const char *rule, const char *format,
                            ...) GH_PRINTF(3, 4);

static void trust_lint_tell(const struct trust_lint *lint, const char *rule, const char *format,
                            ...)
{
    char text[TRUST_LINT_MAX_TEXT];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    lint->fn(lint->context,
             &(struct trust_finding){.rule = rule, .subject = lint->subject, .text = text});
}

static bool trust_lint_is_usable(const struct signer_key *key)
{
    return key->revoked == SIGNER_NOT_REVOKED && !key_is_weak(key->key);
}

/* The longest time in which KEY and one that outlives it are both valid; -1: none outlives it. */
static int64_t trust_lint_overlap(const struct signer *signer, const struct signer_key *key)
{
    int64_t best = -1;

    for (size_t i = 0; i < signer->key_count; i++) {
        const struct signer_key *next = &signer->keys[i];
        int64_t from = GH_MAX(next->not_before_unix_s, key->not_before_unix_s);

        if (next == key || !trust_lint_is_usable(next) ||
            next->not_after_unix_s <= key->not_after_unix_s) {
            continue;
        }
        if (from == INT64_MIN) {
            return INT64_MAX;
        }
        best = GH_MAX(best, from < key->not_after_unix_s ? key->not_after_unix_s - from : 0);
    }
    return best;
}

static void trust_lint_key(const struct trust_lint *lint, const struct signer *signer,
                           const struct signer_key *key, int64_t now, int64_t cadence)
{
    int64_t overlap;

    if (key->revoked != SIGNER_NOT_REVOKED || key->not_after_unix_s < now) {
        return;
    }
    if (key_is_weak(key->key)) {
        trust_lint_tell(lint, "key_weak", "the key %s is too weak to verify anything", key->source);
        return;
    }
    if (key->not_after_unix_s == INT64_MAX) {
        trust_lint_tell(lint, "key_endless",
                        "the key %s has no end: give it a not_after, and a successor before it",
                        key->source);
        return;
    }
    if (key->not_before_unix_s != INT64_MIN && key->not_before_unix_s < now - cadence) {
        trust_lint_tell(lint, "key_cadence",
                        "the key %s is older than the %lld days after which keys are replaced",
                        key->source, (long long)(cadence / TRUST_LINT_DAY_S));
    }
    overlap = trust_lint_overlap(signer, key);
    if (overlap >= 0 && overlap < TRUST_LINT_OVERLAP_S) {
        trust_lint_tell(lint, "key_overlap",
                        "the key %s and its successor are both valid for %lld days; at least 7 "
                        "are needed to change over",
                        key->source, (long long)(overlap / TRUST_LINT_DAY_S));
    }
}

void trust_lint_signer(const struct signer *signer, int64_t now_unix_s, int64_t cadence_s,
                       trust_lint_fn fn, void *context)
{
    const struct trust_lint lint = {.subject = signer->name, .fn = fn, .context = context};
    int64_t ahead = now_unix_s + TRUST_LINT_AHEAD_S;
    bool is_ahead = false;

    if (signer->type != SIGNER_KEYS) {
        return;
    }
    for (size_t i = 0; i < signer->key_count; i++) {
        const struct signer_key *key = &signer->keys[i];

        trust_lint_key(&lint, signer, key, now_unix_s, cadence_s);
        is_ahead = is_ahead || (trust_lint_is_usable(key) && key->not_before_unix_s <= ahead &&
                                key->not_after_unix_s >= ahead);
    }
    if (!is_ahead) {
        trust_lint_tell(&lint, "key_ahead", "no key of the signer %s is valid in 30 days",
                        signer->name);
    }
}

static void trust_lint_tuf(const struct trust_lint *lint, const struct config_root *root,
                           int64_t now)
{
    if (root->content == NULL) {
        trust_lint_tell(lint, "root_missing",
                        "the root %s has not been fetched yet: run `gatehouse trust update`",
                        root->name);
    } else if (root->stale_at_unix_s <= now) {
        trust_lint_tell(lint, "root_stale",
                        "the root %s is past its max_age: what rests on it is refused", root->name);
    } else if (root->stale_at_unix_s < now + root->max_age_s / 2) {
        trust_lint_tell(lint, "root_unrefreshed",
                        "the root %s was last refreshed %lld hours ago: nobody refreshes it",
                        root->name, (long long)((now - root->refreshed_unix_s) / 3600));
    }
}

void trust_lint_root(const struct config_root *root, int64_t changed_unix_s, int64_t now_unix_s,
                     int64_t cadence_s, trust_lint_fn fn, void *context)
{
    const struct trust_lint lint = {.subject = root->name, .fn = fn, .context = context};

    if (root->url != NULL) {
        trust_lint_tuf(&lint, root, now_unix_s);
    } else if (changed_unix_s != INT64_MIN && changed_unix_s < now_unix_s - cadence_s) {
        trust_lint_tell(&lint, "root_cadence", "nobody has changed %s in %lld days", root->source,
                        (long long)((now_unix_s - changed_unix_s) / TRUST_LINT_DAY_S));
    }
    if (root->ends_unix_s < now_unix_s + TRUST_LINT_AHEAD_S) {
        trust_lint_tell(&lint, "root_ends",
                        root->ends_unix_s < now_unix_s
                            ? "certificates of the root %s have ended"
                            : "certificates of the root %s end within 30 days",
                        root->name);
    }
    if (root->lists_end_unix_s < now_unix_s) {
        trust_lint_tell(&lint, "list_unrefreshed",
                        "a revocation list of the root %s is past its next update", root->name);
    }
}
