/*
 * Answers that are not content: registry errors as clients understand them, and the headers every
 * registry answer carries.
 *
 * Spec:    OCI distribution-spec, "Error Codes"; RFC 9110 section 5.5
 * Threads: the exchange's worker
 */
#ifndef PROXY_RESPOND_H
#define PROXY_RESPOND_H

#include "gatehouse.h"
#include "metrics/error.h"

struct decision;
struct exchange;
struct text;

/* What an error answer says. Texts may be NULL. */
struct respond_error {
    unsigned status;
    const char *code;    /* of the specification's list: "DENIED", "MANIFEST_UNKNOWN", … */
    const char *message; /* everything a person needs, in one line */
    enum gh_cause cause; /* gives reason and help; zero leaves detail empty */
    const char *policy;
    const char *digest;
    const char *id;
    unsigned retry_after_s; /* 0: no Retry-After */
};

/* The version header every answer below /v2/ carries. */
void respond_common_headers(struct exchange *x);
/* Answer with `{"errors":[…]}`; headers that were added before are kept. */
void respond_error(struct exchange *x, const struct respond_error *error);
/* Answer with a refusal or an undecided decision. SUBJECT is the digest it is about. */
void respond_decision(struct exchange *x, const struct decision *decision, const char *subject);
/* X-Gatehouse-Decision and a Warning for each text. */
void respond_decision_headers(struct exchange *x, const struct decision *decision);
/* 405 with the methods that work here. */
void respond_method_not_allowed(struct exchange *x, const char *allow);

/* The body alone, for other surfaces and tests. */
void respond_error_body(struct text *out, const struct respond_error *error);

#endif
