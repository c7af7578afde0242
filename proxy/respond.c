#include "proxy/respond.h"

#include <string.h>

#include "metrics/text.h"
#include "policy/decide.h"
#include "proxy/exchange.h"

#define RESPOND_MAX_BODY 8192
#define RESPOND_MAX_WARNING 4000 /* of all Warning values together (distribution-spec: 4096) */
#define RESPOND_WARNING_FIELD 11 /* "Warning: " and the line's end */
#define RESPOND_RETRY_AFTER_S 15

void respond_common_headers(struct exchange *x)
{
    exchange_header_lines(x, BYTES_LITERAL("Docker-Distribution-API-Version: registry/2.0\r\n"));
}

void respond_error_body(struct text *out, const struct respond_error *error)
{
    enum gh_reason reason = gh_cause_reason(error->cause);

    text_put(out, "{\"errors\":[{");
    text_put_key(out, "code");
    text_put_json(out, error->code);
    text_put_key(out, "message");
    text_put_json(out, error->message != NULL ? error->message : gh_cause_sentence(error->cause));
    text_put_key(out, "detail");
    text_put(out, "{");
    if (error->cause != GH_CAUSE_NONE) {
        const char *const pairs[][2] = {
            {"reason", gh_reason_label(reason)}, {"cause", gh_cause_label(error->cause)},
            {"policy", error->policy},           {"digest", error->digest},
            {"help", gh_reason_help(reason)},    {"id", error->id},
        };

        for (size_t i = 0; i < GH_COUNT(pairs); i++) {
            text_put_key(out, pairs[i][0]);
            text_put_json(out, pairs[i][1] != NULL ? pairs[i][1] : "");
        }
    }
    text_put(out, "}}]}");
}

void respond_error(struct exchange *x, const struct respond_error *error)
{
    struct text body;

    text_init(&body, RESPOND_MAX_BODY);
    respond_error_body(&body, error);
    respond_common_headers(x);
    if (error->retry_after_s > 0) {
        exchange_header_number(x, "Retry-After", error->retry_after_s);
    }
    if (text_ok(&body)) {
        exchange_answer(x, error->status, "application/json", body.data, body.len);
    } else {
        static const char fallback[] = "{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"the error "
                                       "could not be written\",\"detail\":{}}]}";

        exchange_answer(x, error->status, "application/json", fallback, sizeof(fallback) - 1);
    }
    text_done(&body);
}

/* RFC 9110 quoted-string; what is not printable ASCII becomes a question mark. *USED counts what
 * the field takes of the room for all of them; false when there is not enough left. */
static bool respond_warning(struct exchange *x, const char *warning, size_t *used)
{
    struct text value;
    bool is_room;

    text_init(&value, RESPOND_MAX_WARNING);
    text_put(&value, "299 - \"");
    for (; *warning != '\0'; warning++) {
        if (*warning == '"' || *warning == '\\') {
            text_put_char(&value, '\\');
        }
        text_put_char(&value, *warning >= 0x20 && *warning < 0x7f ? *warning : '?');
    }
    text_put_char(&value, '"');
    is_room = text_ok(&value) && value.len + RESPOND_WARNING_FIELD <= RESPOND_MAX_WARNING - *used;
    if (is_room) {
        exchange_header(x, "Warning", text_cstr(&value));
        *used += value.len + RESPOND_WARNING_FIELD;
    }
    text_done(&value);
    return is_room;
}

void respond_decision_headers(struct exchange *x, const struct decision *decision)
{
    size_t used = 0;

    exchange_header(x, "X-Gatehouse-Decision", decision->id);
    for (size_t i = 0; i < decision->warning_count; i++) {
        if (!respond_warning(x, decision->warnings[i], &used)) {
            break; /* clients drop everything when the sum is too long */
        }
    }
}

void respond_decision(struct exchange *x, const struct decision *decision, const char *subject)
{
    struct respond_error error = {
        .status = 403,
        .code = "DENIED",
        .message = decision->message,
        .cause = decision->error.cause,
        .policy = decision->policy != NULL ? decision->policy->name : NULL,
        .digest = subject,
        .id = decision->id,
    };

    if (decision->is_subject_broken) {
        error.status = 502;
        error.code = "MANIFEST_INVALID";
    } else if (decision->outcome == DECIDE_UNDECIDED) {
        error.status = 503;
        error.code = "UNAVAILABLE";
        error.retry_after_s = RESPOND_RETRY_AFTER_S;
    }
    respond_decision_headers(x, decision);
    respond_error(x, &error);
}

void respond_method_not_allowed(struct exchange *x, const char *allow)
{
    const struct respond_error error = {
        .status = 405, .code = "UNSUPPORTED", .message = "this gateway does not take writes"};

    exchange_header(x, "Allow", allow);
    respond_error(x, &error);
}
