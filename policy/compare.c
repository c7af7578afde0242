#include "policy/compare.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/key.h"
#include "crypto/signer.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/explain.h"

#define COMPARE_MAX_TEXT (1024u * 1024)
#define COMPARE_MAIN_TENANT "default"

/* One difference; NULL stands for "not there". */
static void compare_row(struct compare_output *output, const char *kind, const char *name,
                        const char *what, const char *a, const char *b)
{
    struct text *out = output->out;

    output->count++;
    if (output->each != NULL) {
        output->each(
            &(struct compare_difference){
                .tenant = output->tenant, .kind = kind, .name = name, .what = what, .a = a, .b = b},
            output->arg);
        return;
    }
    if (output->is_json) {
        text_put(out, output->count == 1 ? "{" : ",{");
        if (output->tenant != NULL) {
            text_put(out, "\"tenant\":");
            text_put_json(out, output->tenant);
            text_put(out, ",");
        }
        text_put(out, "\"kind\":");
        text_put_json(out, kind);
        text_put(out, ",\"name\":");
        text_put_json(out, name);
        text_put(out, ",\"what\":");
        text_put_json(out, what);
        text_put(out, ",\"a\":");
        if (a == NULL) {
            text_put(out, "null");
        } else {
            text_put_json(out, a);
        }
        text_put(out, ",\"b\":");
        if (b == NULL) {
            text_put(out, "null");
        } else {
            text_put_json(out, b);
        }
        text_put(out, "}");
    } else {
        if (output->tenant != NULL && strcmp(output->tenant, COMPARE_MAIN_TENANT) != 0) {
            text_printf(out, "tenant %s, ", output->tenant);
        }
        text_printf(out, "%s %s: %s\n", kind, name, what);
        if (a != NULL) {
            text_printf(out, "  a: %s\n", a);
        }
        if (b != NULL) {
            text_printf(out, "  b: %s\n", b);
        }
    }
}

static int compare_texts(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;

    return strcmp(*left, *right);
}

/* Patterns in an order of their own, so that only what they mean is compared. */
static char *compare_patterns(const struct image_pattern *patterns, size_t count)
{
    struct text text;
    const char **sorted = calloc(count + 1, sizeof(*sorted));
    char *out;

    text_init(&text, COMPARE_MAX_TEXT);
    for (size_t i = 0; sorted != NULL && i < count; i++) {
        sorted[i] = patterns[i].text;
    }
    if (sorted != NULL) {
        qsort(sorted, count, sizeof(*sorted), compare_texts);
    }
    for (size_t i = 0; sorted != NULL && i < count; i++) {
        text_printf(&text, "%s%s", i == 0 ? "" : ", ", sorted[i]);
    }
    for (size_t i = 0; i < count; i++) {
        char digest[DIGEST_MAX_TEXT];

        if (patterns[i].digest.alg != DIGEST_NONE) {
            digest_format(&patterns[i].digest, digest);
            text_printf(&text, " @%s", digest);
        }
    }
    text_put(&text, "");
    out = strdup(text_cstr(&text));
    text_done(&text);
    free(sorted);
    return out;
}

static char *compare_expr(const struct policy *policy)
{
    struct text text;
    char *out;

    text_init(&text, COMPARE_MAX_TEXT);
    explain_put_expr(&text, &policy->expr);
    if (policy->is_each) {
        text_put(&text, ", of each platform");
    }
    if (policy->is_digest_required) {
        text_put(&text, ", by digest");
    }
    for (size_t i = 0; i < policy->deny_tag_count; i++) {
        text_printf(&text, ", not tag %s", policy->deny_tags[i]);
    }
    out = strdup(text_cstr(&text));
    text_done(&text);
    return out;
}

static void compare_strings(struct compare_output *output, const struct policy *policy,
                            const char *what, char *a, char *b)
{
    if (a != NULL && b != NULL && strcmp(a, b) != 0) {
        compare_row(output, "policy", policy->name, what, a, b);
    }
    free(a);
    free(b);
}

/* Fingerprints of the leaves differ where their texts do not: other keys, checks or conditions. */
static bool compare_leaves_differ(const struct policy_expr *a, const struct policy_expr *b)
{
    if (a->kind != b->kind || a->count != b->count || a->threshold != b->threshold) {
        return true;
    }
    if (a->kind == POLICY_LEAF) {
        return !digest_equal(&a->leaf->fingerprint, &b->leaf->fingerprint);
    }
    for (size_t i = 0; i < a->count; i++) {
        if (compare_leaves_differ(&a->items[i], &b->items[i])) {
            return true;
        }
    }
    return false;
}

static void compare_policy(struct compare_output *output, const struct policy *a,
                           const struct policy *b, int64_t now_unix_s)
{
    const char *mode_a = policy_mode_label(policy_mode_at(a, now_unix_s));
    const char *mode_b = policy_mode_label(policy_mode_at(b, now_unix_s));
    char *expr_a = compare_expr(a);
    char *expr_b = compare_expr(b);

    if (strcmp(mode_a, mode_b) != 0) {
        compare_row(output, "policy", a->name, "mode", mode_a, mode_b);
    }
    for (size_t i = 0; i < GH_MAX(a->stage_count, b->stage_count); i++) {
        bool is_same = i < a->stage_count && i < b->stage_count &&
                       a->stages[i].mode == b->stages[i].mode &&
                       a->stages[i].until_unix_s == b->stages[i].until_unix_s;

        if (!is_same && strcmp(mode_a, mode_b) == 0) {
            compare_row(output, "policy", a->name, "the stages of the roll-out differ", NULL, NULL);
            break;
        }
    }
    if (a->is_baseline != b->is_baseline) {
        compare_row(output, "policy", a->name, "baseline", a->is_baseline ? "true" : "false",
                    b->is_baseline ? "true" : "false");
    }
    compare_strings(output, a, "images", compare_patterns(a->images, a->image_count),
                    compare_patterns(b->images, b->image_count));
    compare_strings(output, a, "except", compare_patterns(a->excepts, a->except_count),
                    compare_patterns(b->excepts, b->except_count));
    if (expr_a != NULL && expr_b != NULL && strcmp(expr_a, expr_b) == 0 &&
        compare_leaves_differ(&a->expr, &b->expr)) {
        compare_row(output, "policy", a->name,
                    "asks for the same by name, but the signers, checks or conditions differ",
                    expr_a, expr_b);
    }
    compare_strings(output, a, "requirements", expr_a, expr_b);
}

static void compare_policies(struct compare_output *output, const struct snapshot *a,
                             const struct snapshot *b, int64_t now_unix_s)
{
    size_t i = 0;
    size_t j = 0;

    while (i < a->policy_count || j < b->policy_count) {
        int order = i == a->policy_count   ? 1
                    : j == b->policy_count ? -1
                                           : strcmp(a->policies[i].name, b->policies[j].name);

        if (order == 0) {
            compare_policy(output, &a->policies[i++], &b->policies[j++], now_unix_s);
        } else {
            const struct policy *policy = order < 0 ? &a->policies[i++] : &b->policies[j++];
            char *images = compare_patterns(policy->images, policy->image_count);

            compare_row(output, "policy", policy->name, order < 0 ? "only in a" : "only in b",
                        order < 0 ? images : NULL, order < 0 ? NULL : images);
            free(images);
        }
    }
}

static const struct signer *compare_find(const struct snapshot *snapshot, const char *name)
{
    for (size_t i = 0; i < snapshot->signer_count; i++) {
        if (strcmp(snapshot->signers[i]->name, name) == 0) {
            return snapshot->signers[i];
        }
    }
    return NULL;
}

static const struct signer_key *compare_find_key(const struct signer *signer, const char *source)
{
    for (size_t i = 0; i < signer->key_count; i++) {
        if (strcmp(signer->keys[i].source, source) == 0) {
            return &signer->keys[i];
        }
    }
    return NULL;
}

/* "from 2026-01-01T00:00:00Z until …, compromised at …" */
static char *compare_key_text(const struct signer_key *key)
{
    static const char *const revocations[] = {[SIGNER_NOT_REVOKED] = "",
                                              [SIGNER_COMPROMISED] = "compromised",
                                              [SIGNER_SUPERSEDED] = "superseded",
                                              [SIGNER_RETIRED] = "retired"};
    char fingerprint[DIGEST_MAX_TEXT];
    struct text text;
    char *out;

    text_init(&text, COMPARE_MAX_TEXT);
    digest_format(key_fingerprint(key->key), fingerprint);
    text_printf(&text, "%s (%s)", key->source, fingerprint);
    if (key->not_before_unix_s != INT64_MIN) {
        text_put(&text, ", from ");
        text_put_time(&text, key->not_before_unix_s);
    }
    if (key->not_after_unix_s != INT64_MAX) {
        text_put(&text, ", until ");
        text_put_time(&text, key->not_after_unix_s);
    }
    if (key->revoked != SIGNER_NOT_REVOKED) {
        text_printf(&text, ", revoked as %s at ", revocations[key->revoked]);
        text_put_time(&text, key->revoked_at_unix_s);
    }
    out = strdup(text_cstr(&text));
    text_done(&text);
    return out;
}

/* Keys are told apart by how the configuration names them. */
static void compare_keys(struct compare_output *output, const struct signer *a,
                         const struct signer *b)
{
    for (size_t i = 0; i < a->key_count; i++) {
        const struct signer_key *other = compare_find_key(b, a->keys[i].source);
        char *one = compare_key_text(&a->keys[i]);
        char *two = other != NULL ? compare_key_text(other) : NULL;

        if (other == NULL || (one != NULL && two != NULL && strcmp(one, two) != 0)) {
            compare_row(output, "signer", a->name, other == NULL ? "key only in a" : "key", one,
                        two);
        }
        free(one);
        free(two);
    }
    for (size_t i = 0; i < b->key_count; i++) {
        if (compare_find_key(a, b->keys[i].source) == NULL) {
            char *text = compare_key_text(&b->keys[i]);

            compare_row(output, "signer", b->name, "key only in b", NULL, text);
            free(text);
        }
    }
}

static void compare_signer(struct compare_output *output, const struct signer *a,
                           const struct signer *b)
{
    char one[DIGEST_MAX_TEXT];
    char two[DIGEST_MAX_TEXT];

    if (digest_equal(&a->fingerprint, &b->fingerprint)) {
        return;
    }
    digest_format(&a->fingerprint, one);
    digest_format(&b->fingerprint, two);
    compare_row(output, "signer", a->name, "keys, identities, trust material or settings differ",
                one, two);
    compare_keys(output, a, b);
    if (a->is_root_named && b->is_root_named &&
        !digest_equal(&a->root_fingerprint, &b->root_fingerprint)) {
        digest_format(&a->root_fingerprint, one);
        digest_format(&b->root_fingerprint, two);
        compare_row(output, "signer", a->name, "content of the trust root", one, two);
    }
}

static void compare_signers(struct compare_output *output, const struct snapshot *a,
                            const struct snapshot *b)
{
    for (size_t i = 0; i < a->signer_count; i++) {
        const struct signer *left = a->signers[i];
        const struct signer *right = compare_find(b, left->name);

        if (right == NULL) {
            compare_row(output, "signer", left->name, "only in a", NULL, NULL);
        } else {
            compare_signer(output, left, right);
        }
    }
    for (size_t i = 0; i < b->signer_count; i++) {
        if (compare_find(a, b->signers[i]->name) == NULL) {
            compare_row(output, "signer", b->signers[i]->name, "only in b", NULL, NULL);
        }
    }
}

static void compare_exception_times(struct compare_output *output, const struct exception *a,
                                    const struct exception *b)
{
    struct text one;
    struct text two;

    if (a->expires_unix_s == b->expires_unix_s && a->renewal_count == b->renewal_count) {
        return;
    }
    text_init(&one, COMPARE_MAX_TEXT);
    text_init(&two, COMPARE_MAX_TEXT);
    text_put_time(&one, a->expires_unix_s);
    text_put_time(&two, b->expires_unix_s);
    text_printf(&one, ", renewed %zu times", a->renewal_count);
    text_printf(&two, ", renewed %zu times", b->renewal_count);
    compare_row(output, "exception", a->id, "end", text_cstr(&one), text_cstr(&two));
    text_done(&one);
    text_done(&two);
}

static char *compare_words(const char *const *words, size_t count, const char *none)
{
    struct text text;
    char *out;

    text_init(&text, COMPARE_MAX_TEXT);
    for (size_t i = 0; i < count; i++) {
        text_printf(&text, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    text_put(&text, count == 0 ? none : "");
    out = strdup(text_cstr(&text));
    text_done(&text);
    return out;
}

/* What an exception lets pass: from which policies, and which of their requirements. */
static void compare_exception_reach(struct compare_output *output, const struct exception *a,
                                    const struct exception *b)
{
    char *one = compare_words(a->waive, a->waive_count, "everything");
    char *two = compare_words(b->waive, b->waive_count, "everything");
    bool differs = a->is_for_uncovered != b->is_for_uncovered || a->policy_count != b->policy_count;

    if (one != NULL && two != NULL && strcmp(one, two) != 0) {
        compare_row(output, "exception", a->id, "waives", one, two);
    }
    for (size_t i = 0; i < a->policy_count && !differs; i++) {
        differs = strcmp(output->a->policies[a->policies[i]].name,
                         output->b->policies[b->policies[i]].name) != 0;
    }
    if (differs) {
        compare_row(output, "exception", a->id, "the policies it is from differ", NULL, NULL);
    }
    free(one);
    free(two);
}

static void compare_exception(struct compare_output *output, const struct exception *a,
                              const struct exception *b, int64_t now_unix_s)
{
    bool is_in_force = exception_in_force(a, now_unix_s);
    char *one = compare_patterns(a->images, a->image_count);
    char *two = compare_patterns(b->images, b->image_count);

    if (is_in_force != exception_in_force(b, now_unix_s)) {
        compare_row(output, "exception", a->id, "in force", is_in_force ? "yes" : "no",
                    is_in_force ? "no" : "yes");
    }
    compare_exception_times(output, a, b);
    if (one != NULL && two != NULL && strcmp(one, two) != 0) {
        compare_row(output, "exception", a->id, "images", one, two);
    }
    compare_exception_reach(output, a, b);
    if (strcmp(a->approved_by, b->approved_by) != 0) {
        compare_row(output, "exception", a->id, "approved by", a->approved_by, b->approved_by);
    }
    free(one);
    free(two);
}

static void compare_exceptions(struct compare_output *output, const struct snapshot *a,
                               const struct snapshot *b, int64_t now_unix_s)
{
    size_t i = 0;
    size_t j = 0;

    while (i < a->exception_count || j < b->exception_count) {
        int order = i == a->exception_count   ? 1
                    : j == b->exception_count ? -1
                                              : strcmp(a->exceptions[i].id, b->exceptions[j].id);

        if (order != 0) {
            compare_row(output, "exception", order < 0 ? a->exceptions[i].id : b->exceptions[j].id,
                        order < 0 ? "only in a" : "only in b", NULL, NULL);
        } else {
            compare_exception(output, &a->exceptions[i], &b->exceptions[j], now_unix_s);
        }
        i += order <= 0 ? 1 : 0;
        j += order >= 0 ? 1 : 0;
    }
}

void compare_put(struct compare_output *output, const struct snapshot *a, const struct snapshot *b,
                 int64_t now_unix_s)
{
    output->a = a;
    output->b = b;
    compare_policies(output, a, b, now_unix_s);
    compare_signers(output, a, b);
    compare_exceptions(output, a, b, now_unix_s);
}

/* ---- tenants ---- */

static void compare_ways(struct compare_output *output, const struct config_tenant *a,
                         const struct config_tenant *b)
{
    char *one = compare_words(a->hosts.items, a->hosts.count, "none");
    char *two = compare_words(b->hosts.items, b->hosts.count, "none");

    if (one != NULL && two != NULL && strcmp(one, two) != 0) {
        compare_row(output, "tenant", a->name, "hosts", one, two);
    }
    if (a->prefix == NULL || b->prefix == NULL ? a->prefix != b->prefix
                                               : strcmp(a->prefix, b->prefix) != 0) {
        compare_row(output, "tenant", a->name, "prefix", a->prefix, b->prefix);
    }
    if (a->default_upstream == NULL || b->default_upstream == NULL
            ? a->default_upstream != b->default_upstream
            : strcmp(a->default_upstream, b->default_upstream) != 0) {
        compare_row(output, "tenant", a->name, "default upstream", a->default_upstream,
                    b->default_upstream);
    }
    free(one);
    free(two);
}

/* Both lists are sorted by name. */
static void compare_upstreams(struct compare_output *output, const struct config_upstreams *a,
                              const struct config_upstreams *b)
{
    size_t i = 0;
    size_t j = 0;

    while (i < a->count || j < b->count) {
        int order = i == a->count   ? 1
                    : j == b->count ? -1
                                    : strcmp(a->items[i].at.name, b->items[j].at.name);

        if (order != 0) {
            compare_row(output, "upstream", order < 0 ? a->items[i].at.name : b->items[j].at.name,
                        order < 0 ? "only in a" : "only in b", order < 0 ? a->items[i].url : NULL,
                        order < 0 ? NULL : b->items[j].url);
        } else if (strcmp(a->items[i].url, b->items[j].url) != 0) {
            compare_row(output, "upstream", a->items[i].at.name, "url", a->items[i].url,
                        b->items[j].url);
        }
        i += order <= 0 ? 1 : 0;
        j += order >= 0 ? 1 : 0;
    }
}

void compare_configs(struct compare_output *output, const struct config *a, const struct config *b,
                     int64_t now_unix_s)
{
    static const struct snapshot nothing = {0};
    static const struct config_upstreams nowhere = {0};

    for (size_t i = 0; i < a->tenant_count; i++) {
        const struct config_tenant *left = &a->tenants[i];
        const struct config_tenant *right = config_tenant_find(b, left->name);

        output->tenant = left->name;
        if (right == NULL) {
            compare_row(output, "tenant", left->name, "only in a", left->file, NULL);
        } else {
            compare_ways(output, left, right);
        }
        compare_upstreams(output, &left->upstreams, right != NULL ? &right->upstreams : &nowhere);
        compare_put(output, &left->snapshot, right != NULL ? &right->snapshot : &nothing,
                    now_unix_s);
    }
    for (size_t i = 0; i < b->tenant_count; i++) {
        const struct config_tenant *right = &b->tenants[i];

        if (config_tenant_find(a, right->name) == NULL) {
            output->tenant = right->name;
            compare_row(output, "tenant", right->name, "only in b", NULL, right->file);
            compare_upstreams(output, &nowhere, &right->upstreams);
            compare_put(output, &nothing, &right->snapshot, now_unix_s);
        }
    }
    output->tenant = NULL;
}
