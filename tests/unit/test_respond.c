/* Error answers and decisions as clients see them, over a real connection. */
#include "proxy/respond.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "metrics/text.h"
#include "policy/decide.h"
#include "tests/support/conn_scene.h"

#define ANSWER_BYTES 32768
#define MAX_WARNINGS_BYTES 4096 /* distribution-spec, of all Warning values together */

static struct decision decided; /* what the handler answers with */

static void answer_decision(struct exchange *x, const struct http1_head *head)
{
    respond_decision(x, &decided, "sha256:ab");
}

static void answer_warnings(struct exchange *x, const struct http1_head *head)
{
    respond_decision_headers(x, &decided);
    exchange_answer(x, 200, NULL, "", 0);
}

static void answer_not_allowed(struct exchange *x, const struct http1_head *head)
{
    respond_method_not_allowed(x, "GET, HEAD");
}

/* The whole answer to one request: new, free(). */
static char *ask(void (*answer)(struct exchange *x, const struct http1_head *head))
{
    char *text = malloc(ANSWER_BYTES);
    struct fixture f;
    int fd;

    assert_non_null(text);
    fixture_start(&f, NULL, 100);
    f.answer = answer;
    fd = client_connect(&f);
    client_send(fd, "GET /case HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    (void)client_read(fd, text, ANSWER_BYTES, NULL);
    (void)close(fd);
    fixture_stop(&f);
    return text;
}

static json_t *error_of(const char *answer)
{
    const char *body = strstr(answer, "\r\n\r\n");
    json_t *doc = body != NULL ? json_loads(body + 4, 0, NULL) : NULL;
    json_t *error;

    assert_non_null(doc);
    assert_int_equal(json_array_size(json_object_get(doc, "errors")), 1);
    error = json_incref(json_array_get(json_object_get(doc, "errors"), 0));
    json_decref(doc);
    return error;
}

static void assert_member(const json_t *object, const char *key, const char *value)
{
    const char *found = json_string_value(json_object_get(object, key));

    assert_non_null(found);
    assert_string_equal(found, value);
}

static void respond_decision_status_follows_outcome_never_cause(void **state)
{
    static const struct {
        enum decide_outcome outcome;
        bool is_subject_broken;
        const char *line;
        const char *code;
        bool has_retry_after;
    } rows[] = {
        {DECIDE_DENY, false, "HTTP/1.1 403 ", "DENIED", false},
        {DECIDE_UNDECIDED, false, "HTTP/1.1 503 ", "UNAVAILABLE", true},
        {DECIDE_DENY, true, "HTTP/1.1 502 ", "MANIFEST_INVALID", false},
        {DECIDE_UNDECIDED, true, "HTTP/1.1 502 ", "MANIFEST_INVALID", false},
    };
    static char message[] = "denied: \"x\"\n";

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        json_t *error;
        json_t *detail;
        char *text;

        decided = (struct decision){.outcome = rows[i].outcome,
                                    .is_subject_broken = rows[i].is_subject_broken,
                                    .message = message,
                                    .id = "0123456789abcdefghjk"};
        decided.error.cause = GH_NO_SIGNATURE_FOUND;
        text = ask(answer_decision);
        assert_int_equal(strncmp(text, rows[i].line, strlen(rows[i].line)), 0);
        assert_int_equal(strstr(text, "Retry-After: ") != NULL, rows[i].has_retry_after);
        assert_non_null(strstr(text, "X-Gatehouse-Decision: 0123456789abcdefghjk\r\n"));
        assert_non_null(strstr(text, "Docker-Distribution-API-Version: registry/2.0\r\n"));
        error = error_of(text);
        detail = json_object_get(error, "detail");
        assert_member(error, "code", rows[i].code);
        assert_member(error, "message", message);
        assert_member(detail, "cause", "no_signature_found");
        assert_member(detail, "reason", "unsigned");
        assert_member(detail, "digest", "sha256:ab");
        assert_member(detail, "policy", "");
        json_decref(error);
        free(text);
    }
}

/* A decision of zeroes is what a mistake leaves behind. */
static void respond_decision_empty_is_a_denial(void **state)
{
    json_t *error;
    char *text;

    decided = (struct decision){0};
    text = ask(answer_decision);
    assert_int_equal(strncmp(text, "HTTP/1.1 403 ", 13), 0);
    error = error_of(text);
    assert_member(error, "code", "DENIED");
    assert_int_equal(json_object_size(json_object_get(error, "detail")), 0);
    json_decref(error);
    free(text);
}

static void respond_decision_headers_warning_quoted_and_one_line(void **state)
{
    static char hostile[] = "a \"quoted\\\" tail\r\nSet-Cookie: b\x80";
    static char *const warnings[] = {hostile};
    char *text;

    decided = (struct decision){.warnings = (char **)warnings, .warning_count = 1};
    text = ask(answer_warnings);
    assert_non_null(
        strstr(text, "Warning: 299 - \"a \\\"quoted\\\\\\\" tail??Set-Cookie: b?\"\r\n"));
    assert_null(strstr(text, "\r\nSet-Cookie"));
    free(text);
}

/* Quotation marks take two bytes each: the sum is that of what is sent. */
static void respond_decision_headers_sum_within_limit(void **state)
{
    enum { COUNT = 40, BYTES = 120 };
    char texts[COUNT][BYTES + 1];
    char *warnings[COUNT];
    size_t sum = 0;
    unsigned fields = 0;
    char *text;

    for (size_t i = 0; i < COUNT; i++) {
        memset(texts[i], '"', BYTES);
        texts[i][BYTES] = '\0';
        warnings[i] = texts[i];
    }
    decided = (struct decision){.warnings = warnings, .warning_count = COUNT};
    text = ask(answer_warnings);
    for (const char *at = text; (at = strstr(at, "Warning: ")) != NULL; at++) {
        sum += strcspn(at, "\r") - strlen("Warning: ");
        fields++;
    }
    assert_true(fields > 10);
    assert_true(sum <= MAX_WARNINGS_BYTES);
    free(text);
}

static void respond_method_not_allowed_names_what_is(void **state)
{
    char *text = ask(answer_not_allowed);
    json_t *error = error_of(text);

    assert_int_equal(strncmp(text, "HTTP/1.1 405 ", 13), 0);
    assert_non_null(strstr(text, "Allow: GET, HEAD\r\n"));
    assert_member(error, "code", "UNSUPPORTED");
    json_decref(error);
    free(text);
}

static void respond_error_body_without_message_has_the_causes_sentence(void **state)
{
    const struct respond_error error = {
        .status = 404, .code = "NAME_UNKNOWN", .cause = GH_NAME_UNKNOWN};
    struct text out;
    json_t *doc;
    json_t *found;

    text_init(&out, 4096);
    respond_error_body(&out, &error);
    doc = json_loads(text_cstr(&out), 0, NULL);
    assert_non_null(doc);
    found = json_array_get(json_object_get(doc, "errors"), 0);
    assert_member(found, "message", gh_cause_sentence(GH_NAME_UNKNOWN));
    assert_member(json_object_get(found, "detail"), "id", "");
    json_decref(doc);
    text_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(respond_decision_status_follows_outcome_never_cause),
        cmocka_unit_test(respond_decision_empty_is_a_denial),
        cmocka_unit_test(respond_decision_headers_warning_quoted_and_one_line),
        cmocka_unit_test(respond_decision_headers_sum_within_limit),
        cmocka_unit_test(respond_method_not_allowed_names_what_is),
        cmocka_unit_test(respond_error_body_without_message_has_the_causes_sentence),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
