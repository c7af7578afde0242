#include "proxy/audit_text.h"

#include <string.h>

#include "metrics/text.h"
#include "policy/config_diff.h"
#include "proxy/decision_text.h"

#define AUDIT_TEXT_MAX_VALUE 8192 /* of a setting: long lists of patterns are cut */

static void audit_text_put(struct text *out, const char *key, const char *value)
{
    text_put_key(out, key);
    text_put_json(out, value != NULL ? value : "");
}

static void audit_text_put_digest(struct text *out, const struct digest *digest)
{
    char text[DIGEST_MAX_TEXT];

    digest_format(digest, text);
    text_put_json(out, text);
}

static void audit_text_put_when(struct text *out, const char *key, bool is_known, int64_t unix_s)
{
    text_put_key(out, key);
    if (!is_known) {
        text_put(out, "null");
        return;
    }
    text_put(out, "\"");
    text_put_time(out, unix_s);
    text_put(out, "\"");
}

static void audit_text_put_error(struct text *out, const struct gh_error *error)
{
    audit_text_put(out, "reason", gh_reason_label(gh_cause_reason(error->cause)));
    audit_text_put(out, "cause", gh_cause_label(error->cause));
    audit_text_put(out, "message", error->text);
}

void audit_text_rests(struct text *out, const struct verdict *verdict)
{
    static const char *const labels[] = {
        [EVIDENCE_REST_KEY] = "key",           [EVIDENCE_REST_CERTIFICATE] = "certificate",
        [EVIDENCE_REST_ROOT] = "root",         [EVIDENCE_REST_LOG] = "log",
        [EVIDENCE_REST_EVIDENCE] = "evidence", [EVIDENCE_REST_ANSWER] = "answer",
    };

    text_put_key(out, "rests_on");
    text_put(out, "[");
    for (size_t i = 0; i < verdict->rest_count; i++) {
        const struct evidence_rest *rest = &verdict->rests[i];

        text_put(out, i > 0 ? ",{" : "{");
        audit_text_put(out, "kind",
                       (unsigned)rest->kind < GH_COUNT(labels) ? labels[rest->kind] : "");
        text_put_key(out, "id");
        audit_text_put_digest(out, &rest->id);
        text_put(out, "}");
    }
    text_put(out, "]");
}

static void audit_text_put_logs(struct text *out, const struct verdict *verdict)
{
    text_put_key(out, "log_entries");
    text_put(out, "[");
    for (size_t i = 0; i < verdict->log_count; i++) {
        const struct evidence_log_entry *entry = &verdict->logs[i];

        text_put(out, i > 0 ? ",{" : "{");
        text_put_key(out, "log_id");
        text_put(out, "\"");
        text_put_hex(out, entry->log_id, sizeof(entry->log_id));
        text_put(out, "\"");
        text_printf(out, ",\"index\":%lld", (long long)entry->index);
        audit_text_put_when(out, "time", entry->integrated_unix_s > 0, entry->integrated_unix_s);
        text_put(out, "}");
    }
    text_put(out, "]");
}

static void audit_text_put_logged(struct text *out, const struct verdict *verdict)
{
    text_put_key(out, "logged");
    text_put(out, "[");
    for (size_t i = 0; i < verdict->logged_count; i++) {
        text_put(out, i > 0 ? ",{" : "{");
        audit_text_put(out, "location", verdict->logged[i].place);
        audit_text_put_error(out, &verdict->logged[i]);
        text_put(out, "}");
    }
    text_put(out, "]");
}

static void audit_text_put_candidates(struct text *out, const struct verdict *verdict)
{
    size_t shown = GH_MIN(verdict->candidate_count, (size_t)AUDIT_TEXT_MAX_CANDIDATES);

    text_put_key(out, "candidates");
    text_put(out, "[");
    for (size_t i = 0; i < shown; i++) {
        const struct verdict_candidate *candidate = &verdict->candidates[i];

        text_put(out, i > 0 ? ",{" : "{");
        audit_text_put(out, "kind", decision_evidence_label(candidate->kind));
        audit_text_put(out, "location", candidate->location);
        text_put_key(out, "evidence");
        audit_text_put_digest(out, &candidate->blob);
        audit_text_put(out, "signer", candidate->signer);
        audit_text_put(out, "step", evidence_step_label(candidate->step));
        audit_text_put(out, "cause", gh_cause_label(candidate->error.cause));
        text_put(out, "}");
    }
    text_put(out, "]");
    if (shown < verdict->candidate_count) {
        text_printf(out, ",\"candidates_left_out\":%zu", verdict->candidate_count - shown);
    }
}

void audit_text_verdict(struct text *out, const struct verdict *verdict)
{
    audit_text_put(out, "verdict", verdict->outcome == VERDICT_SATISFIED ? "satisfied" : "denied");
    audit_text_put_error(out, &verdict->error);
    audit_text_put_when(out, "until", verdict->until_unix_s != EVIDENCE_UNTIL_FOREVER,
                        verdict->until_unix_s);
    audit_text_put_when(out, "proved_time", verdict->has_proved_time, verdict->proved_unix_s);
    text_put_key(out, "authorities");
    text_put(out, "[");
    for (size_t i = 0; i < verdict->authority_count; i++) {
        text_put(out, i > 0 ? "," : "");
        audit_text_put_digest(out, &verdict->authorities[i]);
    }
    text_put(out, "]");
    audit_text_rests(out, verdict);
    audit_text_put_logs(out, verdict);
    audit_text_put_candidates(out, verdict);
    audit_text_put_logged(out, verdict);
}

void audit_text_passes(struct text *out, const struct decision *decision)
{
    static const char *const kinds[] = {"exception", "warn", "audit", "emergency"};
    bool is_first = true;

    if (decision->outcome != DECIDE_ALLOW || decision->bypasses == 0) {
        return;
    }
    text_put_key(out, "bypasses");
    text_put(out, "[");
    for (size_t i = 0; i < GH_COUNT(kinds); i++) {
        if ((decision->bypasses & 1u << i) != 0) {
            text_printf(out, "%s\"%s\"", is_first ? "" : ",", kinds[i]);
            is_first = false;
        }
    }
    text_put(out, "]");
    text_put_key(out, "used_exceptions");
    text_put(out, "[");
    for (size_t i = 0; i < decision->use_count; i++) {
        text_put(out, i > 0 ? ",{" : "{");
        audit_text_put(out, "exception", decision->uses[i].exception->id);
        text_printf(out, ",\"days_left\":%lld}", (long long)decision->uses[i].days_left);
    }
    text_put(out, "]");
    text_put_key(out, "failed");
    text_put(out, "[");
    for (size_t i = 0; i < decision->failure_count; i++) {
        const struct decide_failure *failure = &decision->failures[i];

        text_put(out, i > 0 ? ",{" : "{");
        audit_text_put(out, "policy", failure->policy != NULL ? failure->policy->name : "");
        audit_text_put(out, "mode", policy_mode_label(failure->mode));
        audit_text_put(out, "cause", gh_cause_label(failure->error.cause));
        text_put(out, "}");
    }
    text_put(out, "]");
}

static void audit_text_put_value(struct text *out, const char *key, const char *value)
{
    text_put_key(out, key);
    if (value == NULL) {
        text_put(out, "null");
        return;
    }
    text_put_json_bytes(out, value, strnlen(value, AUDIT_TEXT_MAX_VALUE));
}

void audit_text_change(struct text *out, const struct config_change *change)
{
    audit_text_put(out, "tenant", change->tenant);
    audit_text_put(out, "kind", change->kind);
    audit_text_put(out, "name", change->name);
    audit_text_put(out, "what", change->what);
    audit_text_put_value(out, "before", change->before);
    audit_text_put_value(out, "after", change->after);
}
