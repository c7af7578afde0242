/*
 * One registry request on its way from head to last byte; private to the request_*.c files.
 *
 * Threads: the exchange's worker
 */
#ifndef PROXY_REQUEST_STATE_H
#define PROXY_REQUEST_STATE_H

#include "gatehouse.h"
#include "proxy/content.h"
#include "proxy/exchange.h"
#include "proxy/gate.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/route.h"
#include "proxy/target.h"

struct helper_job;
struct pull;
struct allowance;
struct reach;
struct reach_answer;
struct reach_ask;
struct recorder_note;
struct referrers_search;
struct request_fill;
struct request_job;
struct session;
struct session_waiter;
struct text;
struct upstream_request;

#define REQUEST_MAX_ACCEPT 1024
#define REQUEST_MAX_PRINCIPAL 255
#define REQUEST_MAX_REDECIDED 3        /* times a reload may send one request back */
#define REQUEST_MAX_PASSWORD_CHECKS 64 /* under way at a time, of all workers */
#define REQUEST_TOKEN_PATH "/token"

struct request {
    struct exchange *x;
    struct gateway *gateway;
    struct worker *worker;
    struct generation *generation;
    struct route route;
    struct target target;
    size_t tenant;
    struct allowance *allowance;    /* entered; NULL: not */
    char asked[ROUTE_MAX_NAME + 1]; /* the name as the client wrote it, with a tenant's prefix */
    bool is_head;
    bool awaits_body; /* begins once an unwanted body has been read */
    bool is_evidence_tag;
    struct digest evidence_subject;
    char *accept; /* NULL: none given, or too long to be told from "anything" */
    char principal[REQUEST_MAX_PRINCIPAL + 1];
    char image[IMAGE_MAX_NAME_BYTES + DIGEST_MAX_TEXT + 2]; /* as asked, for people */
    struct content *content;
    bool is_stale;
    bool has_evidence_checked;
    unsigned redecided;
    /* what is under way; ended when the client leaves */
    struct pull *pull;
    struct gate_run *gate;
    struct reach *reach;
    struct referrers_search *search;
    struct upstream_request *fetch;
    struct request_fill *fill;
    struct request_job *job;
    /* who asks, and what for */
    bool is_token;               /* of the token endpoint */
    struct token_ask *token_ask; /* likewise */
    struct session *session;     /* credentials passed through; NULL: none */
    struct session_waiter *waiter;
    struct upstream_request *probe;
    /* a blob being sent */
    bool is_evidence_blob;  /* readable evidence leads to it, and no allowed image */
    int64_t reserved_bytes; /* of gateway->evidence_bytes */
    bool has_size;
    uint64_t size_bytes;
    uint64_t first;
    uint64_t last; /* inclusive */
    unsigned blob_status;
    /* for the access log and the counters */
    const char *source;
    char decision[DECIDE_ID_BYTES + 1];
    const char *reason;
};

/* request.c */
void request_dispatch(struct request *r);
/* Answer with an error whose cause is ERROR's; MESSAGE NULL: its text. */
void request_fail(struct request *r, unsigned status, const char *code,
                  const struct gh_error *error, unsigned retry_after_s);
/* As request_fail() with a cause and a text. */
void request_refuse(struct request *r, unsigned status, const char *code, enum gh_cause cause,
                    const char *text);
void request_out_of_memory(struct request *r);
/* OCI-Namespace, on refusals too: it says for which registry the answer is. */
void request_namespace(struct request *r);
/* Headers of every content answer: version, namespace. */
void request_common(struct request *r);
void request_note(const struct request *r, struct recorder_note *note, const char *digest,
                  const char *media_type, char peer[EXCHANGE_PEER_TEXT_BYTES]);
/* Did a reload replace the generation? Then the request has begun anew, or was refused because that
 * happened too often, and the caller returns. Nothing may be under way but r->fill. */
bool request_begun_anew(struct request *r);

/* A job on a thread of POOL for a request that may be gone when it returns. */
struct request_job *request_run(struct request *r, struct helper_pool *pool, void (*run)(void *arg),
                                void (*done)(struct request *r, void *arg),
                                void (*release)(void *arg), void *arg);
/* The answer of a pull that is not content. */
struct pull_result;
void request_pull_failed(struct request *r, const struct pull_result *result);

/* Answer that nothing could be decided now, and record it. */
void request_undecided(struct request *r, const struct gh_error *error);
/* Ask what leads to something; FN may come at once. */
void request_reach(struct request *r, const struct reach_ask *ask,
                   void (*fn)(void *ctx, const struct reach_answer *answer));
/* The target of the route; false: answered. */
bool request_resolve(struct request *r);
/* The tenant whose host was asked, else the main file's; false: answered. */
bool request_find_host(struct request *r);
/* Count the request against its tenant's quota; false: answered. */
bool request_admit(struct request *r);

/* request_access.c: who asks. False: answered, or it goes on later with request_dispatch(). */
bool request_authenticate(struct request *r);
void request_access_leave(struct request *r);
/* request_token.c: our own token endpoint */
void request_token(struct request *r);
/* The client of a token request is known: answer it. */
void request_token_issue(struct request *r);
void request_token_on_body(struct exchange *x, struct bytes piece);
void request_token_on_body_end(struct exchange *x);
void request_token_leave(struct request *r);

/* request_manifest.c */
void request_manifest(struct request *r);
/* Send r->content under DECISION (NULL: readable evidence). */
void request_send_content(struct request *r, const struct decision *decision,
                          const struct decide_plan *plan);

/* request_blob.c */
void request_blob(struct request *r);
/* The request is over; NULL is fine. */
void request_fill_leave(struct request_fill *fill);
/* Give back what is reserved of the evidence budget. */
void request_release(struct request *r);

/* request_list.c */
void request_tags(struct request *r);
void request_catalog(struct request *r);
void request_referrers(struct request *r);

#endif
