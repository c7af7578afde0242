#include "proxy/upstream_auth.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/sjson.h"

void upstream_auth_wipe(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

/* RFC 9110 section 5.6.2 */
static bool auth_is_token_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool auth_is_token68_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("-._~+/", c) != NULL);
}

static void auth_skip(struct bytes *in, const char *set)
{
    while (in->len > 0 && in->data[0] != 0 && strchr(set, in->data[0]) != NULL) {
        *in = bytes_slice(*in, 1, in->len);
    }
}

static struct bytes auth_take_while(struct bytes *in, bool (*accepts)(uint8_t))
{
    size_t len = 0;
    struct bytes taken;

    while (len < in->len && accepts(in->data[len])) {
        len++;
    }
    taken = bytes_slice(*in, 0, len);
    *in = bytes_slice(*in, len, in->len);
    return taken;
}

/* The value of a parameter: token or quoted string. OUT is NULL for values nobody reads. */
static bool auth_read_value(struct bytes *in, char *out, size_t size, struct gh_error *err)
{
    size_t used = 0;
    bool is_quoted = in->len > 0 && in->data[0] == '"';

    if (is_quoted) {
        *in = bytes_slice(*in, 1, in->len);
    }
    for (;;) {
        uint8_t c = in->len > 0 ? in->data[0] : 0;

        if (in->len == 0 || (!is_quoted && !auth_is_token_char(c))) {
            break;
        }
        *in = bytes_slice(*in, 1, in->len);
        if (is_quoted && c == '"') {
            is_quoted = false;
            break;
        }
        if (is_quoted && c == '\\' && in->len > 0) {
            c = in->data[0];
            *in = bytes_slice(*in, 1, in->len);
        }
        if (c < 0x20 || c == 0x7f) {
            return gh_fail(err, GH_SIG_MALFORMED, "a control byte in a challenge");
        }
        if (out != NULL) {
            if (used + 1 >= size) {
                return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED,
                               "a challenge parameter is longer than %zu bytes", size - 1);
            }
            out[used++] = (char)c;
        }
    }
    if (is_quoted) {
        return gh_fail(err, GH_SIG_MALFORMED, "a quoted string in a challenge does not end");
    }
    if (out != NULL) {
        out[used] = '\0';
    }
    return true;
}

static bool auth_name_is(struct bytes name, const char *wanted)
{
    return name.len == strlen(wanted) &&
           strncasecmp((const char *)name.data, wanted, name.len) == 0;
}

/* A parameter of CHALLENGE, whose name was read already. */
static bool auth_read_param(struct bytes *in, struct bytes name,
                            struct upstream_auth_challenge *challenge, struct gh_error *err)
{
    char *out = NULL;
    size_t size = 0;

    if (auth_name_is(name, "realm")) {
        out = challenge->realm;
        size = sizeof(challenge->realm);
    } else if (auth_name_is(name, "service")) {
        out = challenge->service;
        size = sizeof(challenge->service);
    } else if (auth_name_is(name, "error")) {
        out = challenge->error;
        size = sizeof(challenge->error);
    }
    if (out != NULL && out[0] != '\0') {
        return gh_fail(err, GH_SIG_MALFORMED, "a challenge names %.*s twice", (int)name.len,
                       (const char *)name.data);
    }
    return auth_read_value(in, out, size, err);
}

static enum upstream_auth_scheme auth_scheme_of(struct bytes name)
{
    if (auth_name_is(name, "bearer")) {
        return UPSTREAM_AUTH_BEARER;
    }
    return auth_name_is(name, "basic") ? UPSTREAM_AUTH_BASIC : UPSTREAM_AUTH_OTHER;
}

/* Whether a parameter's "=" comes next; consumes it and the space around it. */
static bool auth_take_equals(struct bytes *in)
{
    struct bytes ahead = *in;

    auth_skip(&ahead, " \t");
    if (ahead.len == 0 || ahead.data[0] != '=') {
        return false;
    }
    ahead = bytes_slice(ahead, 1, ahead.len);
    auth_skip(&ahead, " \t");
    *in = ahead;
    return true;
}

/* "Negotiate YII=": a scheme may be followed by one token68 instead of parameters. */
static void auth_skip_token68(struct bytes *in)
{
    struct bytes ahead = *in;

    auth_skip(&ahead, " \t");
    if (auth_take_while(&ahead, auth_is_token68_char).len == 0) {
        return;
    }
    auth_skip(&ahead, "=");
    auth_skip(&ahead, " \t");
    if (ahead.len == 0 || ahead.data[0] == ',') {
        *in = ahead;
    }
}

bool upstream_auth_parse(struct bytes header, struct upstream_auth_challenge *out, size_t *count,
                         struct gh_error *err)
{
    size_t found = 0;
    size_t params = 0;

    if (header.len > UPSTREAM_AUTH_MAX_HEADER) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "WWW-Authenticate has %zu bytes, limit %u",
                       header.len, UPSTREAM_AUTH_MAX_HEADER);
    }
    for (;;) {
        struct bytes name;

        auth_skip(&header, " \t,");
        if (header.len == 0) {
            break;
        }
        name = auth_take_while(&header, auth_is_token_char);
        if (name.len == 0) {
            return gh_fail(err, GH_SIG_MALFORMED, "a challenge holds a byte that is no token");
        }
        if (found > 0 && auth_take_equals(&header)) {
            if (++params > UPSTREAM_AUTH_MAX_PARAMS) {
                return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                               "a challenge has more than %d parameters", UPSTREAM_AUTH_MAX_PARAMS);
            }
            GH_TRY(auth_read_param(&header, name, &out[found - 1], err));
            continue;
        }
        if (found == UPSTREAM_AUTH_MAX_CHALLENGES) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d challenges",
                           UPSTREAM_AUTH_MAX_CHALLENGES);
        }
        memset(&out[found], 0, sizeof(out[found]));
        out[found].scheme = auth_scheme_of(name);
        found++;
        params = 0;
        if (out[found - 1].scheme == UPSTREAM_AUTH_OTHER) {
            auth_skip_token68(&header);
        }
    }
    *count = found;
    return true;
}

const struct upstream_auth_challenge *
upstream_auth_choose(const struct upstream_auth_challenge *challenges, size_t count)
{
    const struct upstream_auth_challenge *basic = NULL;

    for (size_t i = 0; i < count; i++) {
        if (challenges[i].scheme == UPSTREAM_AUTH_BEARER && challenges[i].realm[0] != '\0') {
            return &challenges[i];
        }
        if (basic == NULL && challenges[i].scheme == UPSTREAM_AUTH_BASIC) {
            basic = &challenges[i];
        }
    }
    return basic;
}

static bool auth_token_is_sendable(struct bytes token)
{
    if (token.len == 0 || token.len > UPSTREAM_AUTH_MAX_TOKEN) {
        return false;
    }
    for (size_t i = 0; i < token.len; i++) {
        /* A line break here would be a header of the token service's making. */
        if (token.data[i] <= 0x20 || token.data[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

bool upstream_auth_read_token(struct bytes answer, char **token, int64_t *life_s,
                              struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    struct gh_error inner = {0};
    struct bytes text = {0};
    int64_t life = UPSTREAM_AUTH_DEFAULT_LIFE_S;

    if (!sjson_parse_object(answer, UPSTREAM_AUTH_MAX_ANSWER, &doc, &inner) ||
        !sjson_opt_string(doc, "token", &text, &inner) ||
        (text.len == 0 && !sjson_opt_string(doc, "access_token", &text, &inner)) ||
        !sjson_opt_int(doc, "expires_in", UPSTREAM_AUTH_DEFAULT_LIFE_S, &life, &inner)) {
        return gh_fail(err, GH_UPSTREAM_DENIED, "the token service's answer is not acceptable: %s",
                       inner.text);
    }
    if (!auth_token_is_sendable(text)) {
        return gh_fail(err, GH_UPSTREAM_DENIED,
                       "the token service gave no token of 1 to %u printable bytes",
                       UPSTREAM_AUTH_MAX_TOKEN);
    }
    if (life <= 0) {
        life = UPSTREAM_AUTH_DEFAULT_LIFE_S;
    }
    life = GH_MIN(life, UPSTREAM_AUTH_MAX_LIFE_S);
    *life_s = GH_MAX(life - UPSTREAM_AUTH_MARGIN_S, 1);
    return bytes_to_cstr(text, token, err);
}

static bool auth_add_query(CURLU *url, const char *name, const char *value)
{
    size_t len = strlen(name) + strlen(value) + 2;
    char *pair = malloc(len);
    bool is_added;

    if (pair == NULL) {
        return false;
    }
    memcpy(pair, name, strlen(name));
    pair[strlen(name)] = '=';
    memcpy(pair + strlen(name) + 1, value, strlen(value) + 1);
    is_added =
        curl_url_set(url, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE) == CURLUE_OK;
    free(pair);
    return is_added;
}

bool upstream_auth_token_url(const struct upstream_auth_challenge *challenge, const char *scope,
                             char **out, struct gh_error *err)
{
    CURLU *url = curl_url();
    char *text = NULL;
    bool is_made;

    if (url == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a URL");
    }
    is_made =
        curl_url_set(url, CURLUPART_URL, challenge->realm, 0) == CURLUE_OK &&
        (challenge->service[0] == '\0' || auth_add_query(url, "service", challenge->service)) &&
        (scope[0] == '\0' || auth_add_query(url, "scope", scope)) &&
        curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK;
    curl_url_cleanup(url);
    if (!is_made) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "the token realm cannot be used: %.80s",
                       challenge->realm);
    }
    *out = strdup(text);
    curl_free(text);
    return *out != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for a URL");
}

char *upstream_auth_basic(const char *username, struct bytes password)
{
    static const char scheme[] = "Basic ";
    size_t user_len = strlen(username);
    size_t len = user_len + 1 + password.len;
    uint8_t *plain = malloc(len);
    char *encoded = NULL;
    char *header = NULL;

    if (plain == NULL) {
        return NULL;
    }
    memcpy(plain, username, user_len);
    plain[user_len] = ':';
    if (password.len > 0) {
        memcpy(plain + user_len + 1, password.data, password.len);
    }
    encoded = bytes_base64_encode(bytes_make(plain, len), BYTES_BASE64_STANDARD);
    explicit_bzero(plain, len);
    free(plain);
    if (encoded != NULL) {
        header = malloc(sizeof(scheme) + strlen(encoded));
    }
    if (header != NULL) {
        memcpy(header, scheme, sizeof(scheme) - 1);
        memcpy(header + sizeof(scheme) - 1, encoded, strlen(encoded) + 1);
    }
    upstream_auth_wipe(encoded);
    return header;
}

/* --- the cache of tokens --- */

static void auth_token_done(struct upstream_auth_token *token)
{
    free(token->scope);
    free(token->service);
    free(token->realm);
    upstream_auth_wipe(token->token);
    memset(token, 0, sizeof(*token));
}

static struct upstream_auth_token *auth_find(struct upstream_auth *auth, const char *scope)
{
    for (size_t i = 0; i < auth->token_count; i++) {
        struct upstream_auth_token *token = &auth->tokens[i];

        if (strcmp(token->scope, scope) == 0 && strcmp(token->realm, auth->challenge.realm) == 0 &&
            strcmp(token->service, auth->challenge.service) == 0) {
            return token;
        }
    }
    return NULL;
}

static void auth_remove(struct upstream_auth *auth, struct upstream_auth_token *token)
{
    auth_token_done(token);
    *token = auth->tokens[auth->token_count - 1];
    memset(&auth->tokens[auth->token_count - 1], 0, sizeof(*token));
    auth->token_count--;
}

/* Make room: the one that ends first goes, but none that somebody is fetching. */
static bool auth_evict(struct upstream_auth *auth)
{
    struct upstream_auth_token *oldest = NULL;

    for (size_t i = 0; i < auth->token_count; i++) {
        struct upstream_auth_token *token = &auth->tokens[i];

        if (token->state != UPSTREAM_AUTH_FETCHING &&
            (oldest == NULL || token->until_ms < oldest->until_ms)) {
            oldest = token;
        }
    }
    if (oldest == NULL) {
        return false;
    }
    auth_remove(auth, oldest);
    return true;
}

static struct upstream_auth_token *auth_add(struct upstream_auth *auth, const char *scope)
{
    struct upstream_auth_token *token;

    if (auth->token_count == UPSTREAM_AUTH_MAX_TOKENS && !auth_evict(auth)) {
        return NULL;
    }
    token = &auth->tokens[auth->token_count];
    token->scope = strdup(scope);
    token->service = strdup(auth->challenge.service);
    token->realm = strdup(auth->challenge.realm);
    if (token->scope == NULL || token->service == NULL || token->realm == NULL) {
        auth_token_done(token);
        return NULL;
    }
    token->serial = ++auth->next_serial;
    auth->token_count++;
    return token;
}

enum upstream_auth_answer upstream_auth_get(struct upstream_auth *auth, const char *scope,
                                            int64_t now_ms, char **token, uint64_t *serial,
                                            struct gh_error *err)
{
    struct upstream_auth_token *found = auth_find(auth, scope);

    *token = NULL;
    if (found != NULL && found->state == UPSTREAM_AUTH_FETCHING) {
        return UPSTREAM_AUTH_WAIT;
    }
    if (found != NULL && now_ms >= found->until_ms) {
        auth_remove(auth, found);
        found = NULL;
    }
    if (found == NULL) {
        found = auth_add(auth, scope);
        if (found == NULL) {
            (void)gh_fail(err, GH_INTERNAL_ERROR, "no room for another token");
            return UPSTREAM_AUTH_REFUSED;
        }
        *serial = found->serial;
        return UPSTREAM_AUTH_FETCH;
    }
    if (found->state == UPSTREAM_AUTH_BROKEN) {
        if (err != NULL && err->cause == GH_CAUSE_NONE) {
            *err = found->error;
        }
        return UPSTREAM_AUTH_REFUSED;
    }
    *token = strdup(found->token);
    *serial = found->serial;
    if (*token == NULL) {
        (void)gh_fail(err, GH_INTERNAL_ERROR, "no memory for a token");
        return UPSTREAM_AUTH_REFUSED;
    }
    return UPSTREAM_AUTH_GO;
}

/* The fetch with that serial, unless it is over. */
static struct upstream_auth_token *auth_find_fetch(struct upstream_auth *auth, uint64_t serial)
{
    for (size_t i = 0; i < auth->token_count; i++) {
        if (auth->tokens[i].serial == serial && auth->tokens[i].state == UPSTREAM_AUTH_FETCHING) {
            return &auth->tokens[i];
        }
    }
    return NULL;
}

void upstream_auth_put(struct upstream_auth *auth, uint64_t serial, char *token, int64_t until_ms)
{
    struct upstream_auth_token *found = auth_find_fetch(auth, serial);

    if (found == NULL) {
        upstream_auth_wipe(token);
        return;
    }
    found->token = token;
    found->state = UPSTREAM_AUTH_READY;
    found->until_ms = until_ms;
}

void upstream_auth_fail(struct upstream_auth *auth, uint64_t serial, const struct gh_error *error,
                        int64_t now_ms)
{
    struct upstream_auth_token *found = auth_find_fetch(auth, serial);

    if (found != NULL) {
        found->state = UPSTREAM_AUTH_BROKEN;
        found->error = *error;
        found->until_ms = now_ms + UPSTREAM_AUTH_FAILURE_MS;
    }
}

void upstream_auth_abandon(struct upstream_auth *auth, uint64_t serial)
{
    struct upstream_auth_token *found = auth_find_fetch(auth, serial);

    if (found != NULL) {
        auth_remove(auth, found);
    }
}

void upstream_auth_drop(struct upstream_auth *auth, uint64_t serial)
{
    for (size_t i = 0; i < auth->token_count; i++) {
        if (auth->tokens[i].serial == serial && auth->tokens[i].state == UPSTREAM_AUTH_READY) {
            auth_remove(auth, &auth->tokens[i]);
            return;
        }
    }
}

void upstream_auth_done(struct upstream_auth *auth)
{
    for (size_t i = 0; i < auth->token_count; i++) {
        auth_token_done(&auth->tokens[i]);
    }
    memset(auth, 0, sizeof(*auth));
}
