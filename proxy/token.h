/*
 * The gateway's own bearer tokens: what a client may ask for, authenticated with a secret of ours.
 * Opaque to clients. A token is bound to a tenant, the repository names it was asked for, and, with
 * credentials that are passed through, to one upstream and those credentials.
 *
 * Threads: any; touches no shared state
 */
#ifndef PROXY_TOKEN_H
#define PROXY_TOKEN_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "policy/image.h"
#include "proxy/route.h"

struct text;

#define TOKEN_KEY_BYTES 32
#define TOKEN_MAX_NAMES 16
#define TOKEN_MAX_BYTES 8192
#define TOKEN_MAX_TENANT 128
#define TOKEN_MAX_PRINCIPAL 255
#define TOKEN_SESSION_CHARS 64

struct token {
    char tenant[TOKEN_MAX_TENANT + 1];
    char upstream[IMAGE_MAX_UPSTREAM_BYTES + 1]; /* empty unless passed through */
    char principal[TOKEN_MAX_PRINCIPAL + 1];
    char session[TOKEN_SESSION_CHARS + 1]; /* empty unless passed through */
    int64_t expires_unix_s;
    char names[TOKEN_MAX_NAMES][ROUTE_MAX_NAME + 1]; /* as clients write them */
    size_t name_count;
};

/* A key from a secret, so that no two uses of one secret share a key. */
GH_CHECKED bool token_key(struct bytes secret, uint8_t out[TOKEN_KEY_BYTES]);
/* Append the token's text. False when it is too long or memory is out. */
GH_CHECKED bool token_write(const uint8_t key[TOKEN_KEY_BYTES], const struct token *token,
                            struct text *out);
/* False where the text is not a token of ours, or is over at NOW. */
GH_CHECKED bool token_read(const uint8_t key[TOKEN_KEY_BYTES], struct bytes text,
                           int64_t now_unix_s, struct token *out);
bool token_has_name(const struct token *token, const char *name);

/*
 * Take the next field of a query or form ("a=b&c=d"), decoded.
 * Gives: false at the end; *is_bad where the encoding is not valid or a part is too long
 */
bool token_form_next(struct bytes *form, char *name, size_t name_size, char *value,
                     size_t value_size, bool *is_bad);
/*
 * Add the repositories of a scope ("repository:NAME:pull", several with spaces between them) that
 * may be pulled from. False where there are more than TOKEN_MAX_NAMES or a name is not valid.
 */
GH_CHECKED bool token_add_scope(struct token *token, const char *scope);

#endif
