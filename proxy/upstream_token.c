/*
 * Credentials of an attempt: what the registry is known to want, a token from the cache, or a fetch
 * of one that everybody who needs it waits for.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/upstream_client.h"

/* A token service's answer. CTX is the token request, which still holds its upstream. */
static void token_on_answer(void *ctx, struct upstream_result *result)
{
    struct upstream_request *fetch = ctx;
    struct upstream *upstream = fetch->upstream;
    struct gh_error error = result->error;
    int64_t now = upstream_now_ms();
    char *token = NULL;
    int64_t life_s = 0;
    bool is_read = result->outcome == UPSTREAM_OK &&
                   upstream_auth_read_token(bytes_view(&result->body), &token, &life_s, &error);

    if (!is_read && result->outcome != UPSTREAM_OK) {
        gh_error_at(&error, "token service of %s", upstream->config.name);
    }
    lock_acquire(&upstream->lock);
    if (is_read) {
        upstream_auth_put(&upstream->auth, fetch->token_serial, token, now + life_s * 1000);
    } else {
        upstream_auth_fail(&upstream->auth, fetch->token_serial, &error, now);
    }
    upstream_wake_waiting(upstream);
    lock_release(&upstream->lock);
    fetch->token_serial = 0;
    if (result->body.data != NULL) {
        explicit_bzero(result->body.data, result->body.len);
    }
}

void upstream_token_abandon(struct upstream_request *request)
{
    struct upstream *upstream = request->upstream;

    if (!request->is_token || request->token_serial == 0) {
        return;
    }
    lock_acquire(&upstream->lock);
    upstream_auth_abandon(&upstream->auth, request->token_serial);
    upstream_wake_waiting(upstream);
    lock_release(&upstream->lock);
    request->token_serial = 0;
}

static bool token_start_fetch(struct upstream_request *request,
                              const struct upstream_auth_challenge *challenge, uint64_t serial,
                              struct gh_error *err)
{
    struct upstream *upstream = request->upstream;
    struct upstream_ask ask = {
        .upstream = upstream, .accept = "application/json", .body_limit = UPSTREAM_AUTH_MAX_ANSWER};
    struct upstream_request *fetch;
    char *url = NULL;

    GH_TRY(upstream_redirect_check_realm(&upstream->config, challenge->realm, err));
    GH_TRY(upstream_auth_token_url(challenge, request->scope != NULL ? request->scope : "", &url,
                                   err));
    ask.path = url;
    fetch = upstream_request_new(request->client, &ask);
    if (fetch == NULL) {
        free(url);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a token request");
    }
    free(fetch->url);
    fetch->url = url;
    fetch->is_token = true;
    fetch->token_serial = serial;
    fetch->done = token_on_answer;
    fetch->ctx = fetch;
    if (upstream->basic != NULL) {
        fetch->authorization = strdup(upstream->basic);
    }
    upstream_request_defer(fetch);
    return true;
}

static bool token_make_bearer(struct upstream_request *request, const char *token)
{
    static const char scheme[] = "Bearer ";

    request->authorization = malloc(sizeof(scheme) + strlen(token));
    if (request->authorization == NULL) {
        return false;
    }
    memcpy(request->authorization, scheme, sizeof(scheme) - 1);
    memcpy(request->authorization + sizeof(scheme) - 1, token, strlen(token) + 1);
    return true;
}

/* A fetch that cannot even begin fails for all who wait for it. */
static enum upstream_token_answer token_refuse(struct upstream_request *request, uint64_t serial,
                                               const struct gh_error *err)
{
    struct upstream *upstream = request->upstream;

    lock_acquire(&upstream->lock);
    upstream_auth_fail(&upstream->auth, serial, err, upstream_now_ms());
    upstream_wake_waiting(upstream);
    lock_release(&upstream->lock);
    return UPSTREAM_TOKEN_REFUSED;
}

static enum upstream_token_answer token_prepare_bearer(struct upstream_request *request,
                                                       struct gh_error *err)
{
    struct upstream *upstream = request->upstream;
    struct upstream_auth_challenge challenge;
    enum upstream_auth_answer answer;
    uint64_t serial = 0;
    char *token = NULL;
    bool is_made;

    lock_acquire(&upstream->lock);
    challenge = upstream->auth.challenge;
    answer = upstream_auth_get(&upstream->auth, request->scope != NULL ? request->scope : "",
                               upstream_now_ms(), &token, &serial, err);
    lock_release(&upstream->lock);
    switch (answer) {
    case UPSTREAM_AUTH_WAIT:
        return UPSTREAM_TOKEN_WAIT;
    case UPSTREAM_AUTH_FETCH:
        if (!token_start_fetch(request, &challenge, serial, err)) {
            return token_refuse(request, serial, err);
        }
        return UPSTREAM_TOKEN_WAIT;
    case UPSTREAM_AUTH_REFUSED:
        return UPSTREAM_TOKEN_REFUSED;
    case UPSTREAM_AUTH_GO:
        break;
    }
    is_made = token_make_bearer(request, token);
    request->auth_serial = serial;
    upstream_auth_wipe(token);
    if (!is_made) {
        (void)gh_fail(err, GH_INTERNAL_ERROR, "no memory for a token");
        return UPSTREAM_TOKEN_REFUSED;
    }
    return UPSTREAM_TOKEN_GO;
}

enum upstream_token_answer upstream_token_prepare(struct upstream_request *request,
                                                  struct gh_error *err)
{
    struct upstream *upstream = request->upstream;
    enum upstream_auth_scheme scheme;

    if (request->is_token) {
        return UPSTREAM_TOKEN_GO;
    }
    upstream_auth_wipe(request->authorization);
    request->authorization = NULL;
    request->auth_serial = 0;
    if (upstream->config.is_any_host) {
        return UPSTREAM_TOKEN_GO;
    }
    lock_acquire(&upstream->lock);
    scheme = upstream->auth.challenge.scheme;
    lock_release(&upstream->lock);
    switch (scheme) {
    case UPSTREAM_AUTH_NONE:
    case UPSTREAM_AUTH_OTHER:
        return UPSTREAM_TOKEN_GO;
    case UPSTREAM_AUTH_BASIC:
        if (upstream->basic != NULL) {
            request->authorization = strdup(upstream->basic);
        }
        return UPSTREAM_TOKEN_GO;
    case UPSTREAM_AUTH_BEARER:
        break;
    }
    return token_prepare_bearer(request, err);
}

/* Remember what the registry asks for. Each worker may see it first. */
static bool token_learn(struct upstream_request *request, struct gh_error *err)
{
    const char *header = upstream_head_get(&request->head, UPSTREAM_WWW_AUTHENTICATE);
    struct upstream_auth_challenge challenges[UPSTREAM_AUTH_MAX_CHALLENGES];
    const struct upstream_auth_challenge *chosen = NULL;
    struct upstream *upstream = request->upstream;
    struct gh_error inner = {0};
    size_t count = 0;

    if (header != NULL && upstream_auth_parse(bytes_of(header), challenges, &count, &inner)) {
        chosen = upstream_auth_choose(challenges, count);
    }
    if (chosen == NULL) {
        return gh_fail(err, GH_UPSTREAM_DENIED,
                       "%s answers 401 without a challenge that is understood: %s",
                       upstream->config.name, inner.text);
    }
    if (chosen->scheme == UPSTREAM_AUTH_BEARER) {
        GH_TRY(upstream_redirect_check_realm(&upstream->config, chosen->realm, err));
    } else if (upstream->basic == NULL) {
        return gh_fail(err, GH_UPSTREAM_DENIED, "%s wants a password, and none is configured",
                       upstream->config.name);
    }
    lock_acquire(&upstream->lock);
    upstream->auth.challenge = *chosen;
    lock_release(&upstream->lock);
    return true;
}

bool upstream_token_on_refused(struct upstream_request *request, struct gh_error *err)
{
    struct upstream *upstream = request->upstream;
    bool had_cached = request->auth_serial != 0;
    bool had_any = request->authorization != NULL;

    if (had_cached) {
        lock_acquire(&upstream->lock);
        upstream_auth_drop(&upstream->auth, request->auth_serial);
        lock_release(&upstream->lock);
    }
    /* Once without credentials and once with a token that may have been withdrawn; what is refused
     * after that stays refused. */
    request->auth_rounds++;
    if (request->auth_rounds > 2 || (had_any && !had_cached)) {
        return gh_fail(err, GH_UPSTREAM_DENIED, "%s refuses the configured credentials (401)",
                       upstream->config.name);
    }
    return token_learn(request, err);
}
