/*
 * Credentials for a registry: reading WWW-Authenticate, and the cache of bearer tokens with one
 * fetch under way per token however many workers wait for it.
 *
 * Spec:    RFC 9110 section 11 (challenges), distribution's token specification (docs/spec/auth)
 */
#ifndef PROXY_UPSTREAM_AUTH_H
#define PROXY_UPSTREAM_AUTH_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define UPSTREAM_AUTH_MAX_HEADER 8192u
#define UPSTREAM_AUTH_MAX_CHALLENGES 8
#define UPSTREAM_AUTH_MAX_PARAMS 16
#define UPSTREAM_AUTH_MAX_VALUE 1024
#define UPSTREAM_AUTH_MAX_TOKEN 16384u
#define UPSTREAM_AUTH_MAX_ANSWER (64u * 1024)
#define UPSTREAM_AUTH_MAX_TOKENS 512
#define UPSTREAM_AUTH_DEFAULT_LIFE_S 60
#define UPSTREAM_AUTH_MAX_LIFE_S 3600
#define UPSTREAM_AUTH_MARGIN_S 10
#define UPSTREAM_AUTH_FAILURE_MS 1000 /* how long a refusal is shared by those who wait */

enum upstream_auth_scheme {
    UPSTREAM_AUTH_NONE = 0, /* no challenge yet */
    UPSTREAM_AUTH_OTHER,
    UPSTREAM_AUTH_BASIC,
    UPSTREAM_AUTH_BEARER
};

struct upstream_auth_challenge {
    enum upstream_auth_scheme scheme;
    char realm[UPSTREAM_AUTH_MAX_VALUE];
    char service[UPSTREAM_AUTH_MAX_VALUE];
    char error[64]; /* "insufficient_scope" */
};

/*
 * Read the challenges of one WWW-Authenticate value (several headers joined by commas).
 *
 * Gives: *out, *count: at most UPSTREAM_AUTH_MAX_CHALLENGES, in the order given
 * Fails: SIG_MALFORMED, COUNT_LIMIT_EXCEEDED, SIZE_LIMIT_EXCEEDED
 */
GH_CHECKED bool upstream_auth_parse(struct bytes header, struct upstream_auth_challenge *out,
                                    size_t *count, struct gh_error *err);

/* The challenge to answer: Bearer before Basic. NULL where none is understood. */
const struct upstream_auth_challenge *
upstream_auth_choose(const struct upstream_auth_challenge *challenges, size_t count);

/*
 * Read a token service's answer.
 *
 * Gives: *token: new, free() after wiping; *life_s: how long it may be used, margin taken off
 * Fails: UPSTREAM_DENIED
 */
GH_CHECKED bool upstream_auth_read_token(struct bytes answer, char **token, int64_t *life_s,
                                         struct gh_error *err);

/*
 * The URL that asks REALM for a token. *out: new, free().
 * Fails: UPSTREAM_ADDRESS_REFUSED, INTERNAL_ERROR
 */
GH_CHECKED bool upstream_auth_token_url(const struct upstream_auth_challenge *challenge,
                                        const char *scope, char **out, struct gh_error *err);

/* "Basic …" for the header; new, free() after wiping; NULL when memory is out. */
char *upstream_auth_basic(const char *username, struct bytes password);

enum upstream_auth_state { UPSTREAM_AUTH_FETCHING = 0, UPSTREAM_AUTH_READY, UPSTREAM_AUTH_BROKEN };

struct upstream_auth_token {
    char *scope;
    char *service;
    char *realm;
    enum upstream_auth_state state;
    char *token;
    int64_t until_ms;
    uint64_t serial; /* tells a fetch or token from the one that replaced it */
    struct gh_error error;
};

/* What one registry asked for and what it gave. The credential is the registry's only one, so the
 * key is realm, service and scope. The lock of the upstream guards it. */
struct upstream_auth {
    struct upstream_auth_challenge challenge; /* last one answered */
    struct upstream_auth_token tokens[UPSTREAM_AUTH_MAX_TOKENS];
    size_t token_count;
    uint64_t next_serial;
};

enum upstream_auth_answer {
    UPSTREAM_AUTH_GO = 0, /* *token: copy, new (NULL: nothing to send) */
    UPSTREAM_AUTH_WAIT,   /* somebody fetches it: ask again when woken */
    UPSTREAM_AUTH_FETCH,  /* fetch it, then upstream_auth_put() or _fail() */
    UPSTREAM_AUTH_REFUSED /* *err */
};

/* *serial names the token (GO), or the fetch that the caller now owes (FETCH). */
enum upstream_auth_answer upstream_auth_get(struct upstream_auth *auth, const char *scope,
                                            int64_t now_ms, char **token, uint64_t *serial,
                                            struct gh_error *err);
/* TOKEN is taken. */
void upstream_auth_put(struct upstream_auth *auth, uint64_t serial, char *token, int64_t until_ms);
void upstream_auth_fail(struct upstream_auth *auth, uint64_t serial, const struct gh_error *error,
                        int64_t now_ms);
/* Whoever fetched gave up: the next one who asks fetches. */
void upstream_auth_abandon(struct upstream_auth *auth, uint64_t serial);
/* The registry refused the token with that serial. */
void upstream_auth_drop(struct upstream_auth *auth, uint64_t serial);
void upstream_auth_done(struct upstream_auth *auth);

/* Overwrite and free a secret string. NULL is fine. */
void upstream_auth_wipe(char *secret);

#endif
