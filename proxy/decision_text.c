#include "proxy/decision_text.h"

#include <string.h>

#include "metrics/text.h"

const char *decision_evidence_label(enum evidence_kind kind)
{
    static const char *const labels[] = {
        [EVIDENCE_BROKEN] = "broken",
        [EVIDENCE_COSIGN_SIGNATURE] = "cosign-signature",
        [EVIDENCE_COSIGN_ATTESTATION] = "cosign-attestation",
        [EVIDENCE_BUNDLE] = "bundle",
        [EVIDENCE_DSSE] = "dsse",
        [EVIDENCE_NOTATION_JWS] = "notation-jws",
        [EVIDENCE_NOTATION_COSE] = "notation-cose",
        [EVIDENCE_OPENPGP] = "openpgp",
    };

    return (unsigned)kind < GH_COUNT(labels) ? labels[kind] : "broken";
}

static const char *decision_verdict_label(const struct verdict *verdict)
{
    if (verdict == NULL) {
        return "error";
    }
    switch (verdict->outcome) {
    case VERDICT_SATISFIED:
        return "allow";
    case VERDICT_UNDECIDED:
        return "error";
    case VERDICT_DENIED:
        return "deny";
    }
    return "deny";
}

static void decision_put_pair(struct text *out, const char *key, const char *value)
{
    text_put_key(out, key);
    text_put_json(out, value != NULL ? value : "");
}

/* reason, cause and message of an error; empty strings where nothing failed. */
static void decision_put_error(struct text *out, const struct gh_error *error)
{
    struct text message;

    decision_put_pair(out, "reason", gh_reason_label(gh_cause_reason(error->cause)));
    decision_put_pair(out, "cause", gh_cause_label(error->cause));
    text_init(&message, 1024);
    text_printf(&message, "%s%s%s", error->place, error->place[0] != '\0' ? ": " : "", error->text);
    decision_put_pair(out, "message", text_cstr(&message));
    text_done(&message);
}

static void decision_put_candidate(struct text *out, const struct verdict_candidate *candidate)
{
    text_put(out, "{");
    decision_put_pair(out, "kind", decision_evidence_label(candidate->kind));
    decision_put_pair(out, "location", candidate->location);
    decision_put_pair(out, "signer", candidate->signer);
    decision_put_pair(out, "step", evidence_step_label(candidate->step));
    decision_put_error(out, &candidate->error);
    text_put(out, "}");
}

static void decision_put_log(struct text *out, const struct evidence_log_entry *entry)
{
    text_put(out, "{");
    text_put_key(out, "log_id");
    text_put(out, "\"");
    text_put_hex(out, entry->log_id, sizeof(entry->log_id));
    text_put(out, "\"");
    text_put_key(out, "index");
    text_printf(out, "%lld", (long long)entry->index);
    text_put_key(out, "time");
    if (entry->integrated_unix_s > 0) {
        text_put(out, "\"");
        text_put_time(out, entry->integrated_unix_s);
        text_put(out, "\"");
    } else {
        text_put(out, "null");
    }
    text_put(out, "}");
}

static void decision_put_requirement(struct text *out, const struct decide_requirement *row)
{
    static const struct gh_error unknown = {.cause = GH_INTERNAL_ERROR,
                                            .text = "there is no verdict"};
    const struct verdict *verdict = row->verdict;
    char digest[DIGEST_MAX_TEXT];

    text_put(out, "{");
    decision_put_pair(out, "policy", row->policy->name);
    decision_put_pair(out, "requirement", row->require->label);
    if (row->child != NULL) {
        digest_format(&row->child->digest, digest);
        decision_put_pair(out, "child", digest);
    }
    decision_put_pair(out, "verdict", decision_verdict_label(verdict));
    decision_put_error(out, verdict != NULL ? &verdict->error : &unknown);
    if (row->waived_by != NULL) {
        decision_put_pair(out, "waived_by", row->waived_by->id);
    }
    text_put_key(out, "candidates");
    text_put(out, "[");
    for (size_t i = 0; verdict != NULL && i < verdict->candidate_count; i++) {
        text_put(out, i > 0 ? "," : "");
        decision_put_candidate(out, &verdict->candidates[i]);
    }
    text_put(out, "]");
    text_put_key(out, "log_entries");
    text_put(out, "[");
    for (size_t i = 0; verdict != NULL && i < verdict->log_count; i++) {
        text_put(out, i > 0 ? "," : "");
        decision_put_log(out, &verdict->logs[i]);
    }
    text_put(out, "]");
    text_put_key(out, "logged");
    text_put(out, "[");
    for (size_t i = 0; verdict != NULL && i < verdict->logged_count; i++) {
        text_put(out, i > 0 ? ",{" : "{");
        decision_put_error(out, &verdict->logged[i]);
        text_put(out, "}");
    }
    text_put(out, "]}");
}

void decision_text_json(struct text *out, const char *image, const char *digest,
                        const struct decision *decision, const struct decide_plan *plan)
{
    bool is_allowed = decision->outcome == DECIDE_ALLOW;

    text_put(out, "{");
    decision_put_pair(out, "image", image);
    decision_put_pair(out, "digest", digest);
    decision_put_pair(out, "verdict", decide_outcome_label(decision->outcome));
    decision_put_pair(out, "reason",
                      is_allowed ? "" : gh_reason_label(gh_cause_reason(decision->error.cause)));
    decision_put_pair(out, "cause", is_allowed ? "" : gh_cause_label(decision->error.cause));
    decision_put_pair(out, "message", decision->message);
    decision_put_pair(out, "help",
                      is_allowed ? "" : gh_reason_help(gh_cause_reason(decision->error.cause)));
    decision_put_pair(out, "policy", decision->policy != NULL ? decision->policy->name : "");
    decision_put_pair(out, "owner", decision->policy != NULL ? decision->policy->owner : "");
    text_put_key(out, "policies");
    text_put(out, "[");
    for (size_t i = 0; i < decision->failure_count; i++) {
        text_put(out, i > 0 ? "," : "");
        text_put_json(out, decision->failures[i].policy != NULL ? decision->failures[i].policy->name
                                                                : "");
    }
    text_put(out, "]");
    text_put_key(out, "warnings");
    text_put(out, "[");
    for (size_t i = 0; i < decision->warning_count; i++) {
        text_put(out, i > 0 ? "," : "");
        text_put_json(out, decision->warnings[i]);
    }
    text_put(out, "]");
    text_put_key(out, "exceptions");
    text_put(out, "[");
    for (size_t i = 0; i < decision->use_count; i++) {
        text_put(out, i > 0 ? "," : "");
        text_put_json(out, decision->uses[i].exception->id);
    }
    text_put(out, "]");
    decision_put_pair(out, "fingerprint", decision->fingerprint);
    decision_put_pair(out, "id", decision->id);
    text_put_key(out, "requirements");
    text_put(out, "[");
    for (size_t i = 0; i < decision->requirement_count; i++) {
        text_put(out, i > 0 ? "," : "");
        decision_put_requirement(out, &decision->requirements[i]);
    }
    text_put(out, "]}");
}

static const char *decision_get(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL ? value : "";
}

static void decision_people_candidates(struct text *out, const json_t *requirement)
{
    size_t index;
    json_t *candidate;

    json_array_foreach (json_object_get(requirement, "candidates"), index, candidate) {
        bool is_good = decision_get(candidate, "cause")[0] == '\0';

        text_printf(out, "      %s %s at %s", is_good ? "ok  " : "fail",
                    decision_get(candidate, "kind"), decision_get(candidate, "location"));
        if (decision_get(candidate, "signer")[0] != '\0') {
            text_printf(out, ", by %s", decision_get(candidate, "signer"));
        }
        if (!is_good) {
            text_printf(out, "\n           step %s: %s (%s)", decision_get(candidate, "step"),
                        decision_get(candidate, "message"), decision_get(candidate, "cause"));
        }
        text_put(out, "\n");
    }
}

static void decision_people_logged(struct text *out, const json_t *requirement)
{
    size_t index;
    json_t *logged;

    json_array_foreach (json_object_get(requirement, "logged"), index, logged) {
        text_printf(out, "      only logged: %s (%s)\n", decision_get(logged, "message"),
                    decision_get(logged, "cause"));
    }
}

/* Where a log can be asked for what the signature rests on. */
static void decision_people_logs(struct text *out, const json_t *requirement)
{
    size_t index;
    json_t *entry;

    json_array_foreach (json_object_get(requirement, "log_entries"), index, entry) {
        const char *time = decision_get(entry, "time");

        text_printf(out, "      log entry %lld of log %s, %s%s\n",
                    (long long)json_integer_value(json_object_get(entry, "index")),
                    decision_get(entry, "log_id"), time[0] != '\0' ? "logged at " : "",
                    time[0] != '\0' ? time : "which vouches for no time");
    }
}

static void decision_people_requirements(struct text *out, const json_t *object)
{
    const char *policy = "";
    size_t index;
    json_t *row;

    json_array_foreach (json_object_get(object, "requirements"), index, row) {
        if (strcmp(policy, decision_get(row, "policy")) != 0) {
            policy = decision_get(row, "policy");
            text_printf(out, "  policy %s\n", policy);
        }
        text_printf(out, "    %-5s %s", decision_get(row, "verdict"),
                    decision_get(row, "requirement"));
        if (decision_get(row, "child")[0] != '\0') {
            text_printf(out, " of %s", decision_get(row, "child"));
        }
        if (decision_get(row, "cause")[0] != '\0') {
            text_printf(out, ": %s (%s)", decision_get(row, "message"), decision_get(row, "cause"));
        }
        if (decision_get(row, "waived_by")[0] != '\0') {
            text_printf(out, "; waived by %s", decision_get(row, "waived_by"));
        }
        text_put(out, "\n");
        decision_people_candidates(out, row);
        decision_people_logs(out, row);
        decision_people_logged(out, row);
    }
}

void decision_text_people(struct text *out, const json_t *object)
{
    size_t index;
    json_t *item;

    text_printf(out, "%s  %s\n", decision_get(object, "verdict"), decision_get(object, "image"));
    text_printf(out, "  digest %s\n", decision_get(object, "digest"));
    if (decision_get(object, "cause")[0] != '\0') {
        text_printf(out, "  %s\n  help: %s\n", decision_get(object, "message"),
                    decision_get(object, "help"));
    }
    decision_people_requirements(out, object);
    json_array_foreach (json_object_get(object, "warnings"), index, item) {
        text_printf(out, "  warning: %s\n", json_string_value(item));
    }
    json_array_foreach (json_object_get(object, "exceptions"), index, item) {
        text_printf(out, "  exception in use: %s\n", json_string_value(item));
    }
    text_printf(out, "  decision %s, policy %s\n", decision_get(object, "id"),
                decision_get(object, "fingerprint"));
}
