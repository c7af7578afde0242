#include "policy/explain.h"

#include "crypto/key.h"
#include "crypto/notation.h"
#include "crypto/pattern.h"
#include "crypto/signer.h"
#include "metrics/text.h"

static void explain_put_pairs(struct text *out, const char *what, const struct require_pair *pairs,
                              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text_printf(out, "%s %s=%s", i == 0 ? what : ",", pairs[i].name, pairs[i].value);
    }
}

static void explain_put_leaf(struct text *out, const struct require *leaf)
{
    text_put(out, leaf->label);
    explain_put_pairs(out, " with annotations", leaf->annotations, leaf->annotation_count);
    explain_put_pairs(out, " with metadata", leaf->metadata, leaf->metadata_count);
    if (leaf->max_age_s > 0) {
        text_printf(out, " not older than %lld days", (long long)(leaf->max_age_s / 86400));
    }
    if (leaf->is_every) {
        text_put(out, ", every statement");
    }
    if (leaf->where != NULL) {
        text_put(out, ", with conditions");
    }
}

void explain_put_expr(struct text *out, const struct policy_expr *expr)
{
    const char *between = " and ";

    switch (expr->kind) {
    case POLICY_LEAF:
        explain_put_leaf(out, expr->leaf);
        return;
    case POLICY_ALL:
        break;
    case POLICY_ANY:
        between = " or ";
        break;
    case POLICY_AT_LEAST:
        text_printf(out, "at least %zu of ", expr->threshold);
        between = ", ";
        break;
    }
    text_put_char(out, '(');
    for (size_t i = 0; i < expr->count; i++) {
        text_put(out, i == 0 ? "" : between);
        explain_put_expr(out, &expr->items[i]);
    }
    text_put_char(out, ')');
}

/* Who a signer is: keys by their files, identities by their patterns. */
static void explain_put_signer(struct text *out, const struct signer *signer)
{
    text_printf(out, "  %s: ", signer->name);
    switch (signer->type) {
    case SIGNER_KEYS:
        for (size_t i = 0; i < signer->key_count; i++) {
            char described[64];

            key_describe(signer->keys[i].key, described, sizeof(described));
            text_printf(out, "%s%s (%s%s)", i == 0 ? "key " : ", key ", signer->keys[i].source,
                        described,
                        signer->keys[i].revoked != SIGNER_NOT_REVOKED ? ", revoked" : "");
        }
        break;
    case SIGNER_KEYLESS: {
        struct bytes subject = pattern_text(signer->subject);
        struct bytes issuer = pattern_text(signer->issuer);

        text_put_bytes(out, subject.data, subject.len);
        text_put(out, " as vouched for by ");
        text_put_bytes(out, issuer.data, issuer.len);
        break;
    }
    case SIGNER_NOTATION:
        text_put(out, signer->is_any_identity ? "notation, any identity" : "notation, ");
        for (size_t i = 0; i < signer->identity_count; i++) {
            text_printf(out, "%s%s", i == 0 ? "" : "; ", notation_dn_text(signer->identities[i]));
        }
        break;
    }
    if (signer->tlog == SIGNER_REQUIRED) {
        text_put(out, ", in a transparency log");
    }
    if (signer->timestamp == SIGNER_REQUIRED) {
        text_put(out, ", with a time stamp");
    }
    text_put(out, "\n");
}

static void explain_put_policy(struct text *out, const struct policy *policy, int64_t now_unix_s)
{
    text_printf(out, "policy %s%s, mode %s", policy->name, policy->is_baseline ? " (baseline)" : "",
                policy_mode_label(policy_mode_at(policy, now_unix_s)));
    if (policy->owner[0] != '\0') {
        text_printf(out, ", owner %s", policy->owner);
    }
    text_printf(out, " [%s:%u]\n", policy->file, policy->line);
    for (size_t i = 0; i + 1 < policy->stage_count; i++) {
        if (policy->stages[i].until_unix_s > now_unix_s) {
            text_printf(out, "  %s until ", policy_mode_label(policy->stages[i].mode));
            text_put_time(out, policy->stages[i].until_unix_s);
            text_put(out, "\n");
        }
    }
    for (size_t i = 0; i < policy->expr.count; i++) {
        text_put(out, "  needs ");
        explain_put_expr(out, &policy->expr.items[i]);
        text_put(out, "\n");
    }
    if (policy->is_each) {
        text_put(out, "  needs it of every platform of an index, too\n");
    }
    for (size_t i = 0; i < policy->deny_tag_count; i++) {
        text_printf(out, "  refuses the tag %s\n", policy->deny_tags[i]);
    }
    if (policy->is_digest_required) {
        text_put(out, "  refuses pulls by tag\n");
    }
}

void explain_put_text(struct text *out, const struct decide_plan *plan, int64_t now_unix_s)
{
    const struct signer *last = NULL;

    text_printf(out, "%s%s%s\n", plan->image.name, plan->image.tag == NULL ? "" : ":",
                plan->image.tag == NULL ? "" : plan->image.tag);
    if (!plan->is_covered) {
        text_put(out, "no policy covers it: it is refused (not_covered)\n");
    }
    for (size_t i = 0; i < plan->policy_count; i++) {
        explain_put_policy(out, plan->policies[i], now_unix_s);
    }
    for (size_t i = 0; i < plan->exception_count; i++) {
        const struct exception *exception = plan->exceptions[i];

        text_printf(out, "exception %s (%s), owner %s, %s ", exception->id,
                    exception_in_force(exception, now_unix_s) ? "in force" : "not in force",
                    exception->owner,
                    exception->expires_unix_s > now_unix_s ? "expires" : "expired");
        text_put_time(out, exception->expires_unix_s);
        text_put(out, "\n");
    }
    for (size_t i = 0; i < plan->leaf_count; i++) {
        if (plan->leaves[i].require->signer == last) {
            continue;
        }
        text_put(out, last == NULL ? "signers:\n" : "");
        last = plan->leaves[i].require->signer;
        explain_put_signer(out, last);
    }
}

static void explain_json_expr(struct text *out, const struct policy_expr *expr)
{
    switch (expr->kind) {
    case POLICY_LEAF:
        text_put(out, "{\"requirement\":");
        text_put_json(out, expr->leaf->label);
        text_put(out, ",\"signer\":");
        text_put_json(out, expr->leaf->signer->name);
        text_put(out, "}");
        return;
    case POLICY_ALL:
        text_put(out, "{\"all\":[");
        break;
    case POLICY_ANY:
        text_put(out, "{\"any\":[");
        break;
    case POLICY_AT_LEAST:
        text_printf(out, "{\"at_least\":%zu,\"of\":[", expr->threshold);
        break;
    }
    for (size_t i = 0; i < expr->count; i++) {
        text_put(out, i == 0 ? "" : ",");
        explain_json_expr(out, &expr->items[i]);
    }
    text_put(out, "]}");
}

static void explain_json_policy(struct text *out, const struct policy *policy, int64_t now_unix_s)
{
    text_put(out, "{\"name\":");
    text_put_json(out, policy->name);
    text_put(out, ",\"owner\":");
    text_put_json(out, policy->owner);
    text_printf(out, ",\"mode\":\"%s\",\"baseline\":%s,\"platforms\":\"%s\"",
                policy_mode_label(policy_mode_at(policy, now_unix_s)),
                policy->is_baseline ? "true" : "false", policy->is_each ? "each" : "index");
    text_printf(out, ",\"require_digest\":%s,\"deny_tags\":[",
                policy->is_digest_required ? "true" : "false");
    for (size_t i = 0; i < policy->deny_tag_count; i++) {
        text_put(out, i == 0 ? "" : ",");
        text_put_json(out, policy->deny_tags[i]);
    }
    text_put(out, "],\"file\":");
    text_put_json(out, policy->file);
    text_printf(out, ",\"line\":%u,\"require\":", policy->line);
    explain_json_expr(out, &policy->expr);
    text_put(out, "}");
}

void explain_put_json(struct text *out, const struct decide_plan *plan, int64_t now_unix_s)
{
    text_put(out, "{\"image\":");
    text_put_json(out, plan->image.name);
    text_printf(out, ",\"covered\":%s,\"policies\":[", plan->is_covered ? "true" : "false");
    for (size_t i = 0; i < plan->policy_count; i++) {
        text_put(out, i == 0 ? "" : ",");
        explain_json_policy(out, plan->policies[i], now_unix_s);
    }
    text_put(out, "],\"exceptions\":[");
    for (size_t i = 0; i < plan->exception_count; i++) {
        const struct exception *exception = plan->exceptions[i];

        text_put(out, i == 0 ? "{\"id\":" : ",{\"id\":");
        text_put_json(out, exception->id);
        text_printf(out, ",\"in_force\":%s,\"days_left\":%lld}",
                    exception_in_force(exception, now_unix_s) ? "true" : "false",
                    (long long)exception_days_left(exception, now_unix_s));
    }
    text_put(out, "],\"fingerprint\":");
    text_put_json(out, plan->snapshot->fingerprint_text);
    text_put(out, "}\n");
}
