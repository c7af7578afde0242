#include "proxy/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "crypto/sjson.h"
#include "metrics/error.h"
#include "metrics/text.h"

#define TOKEN_MAX_ACTIONS 64

static bool token_mac(const uint8_t key[TOKEN_KEY_BYTES], struct bytes data,
                      uint8_t out[TOKEN_KEY_BYTES])
{
    unsigned len = 0;

    return HMAC(EVP_sha256(), key, TOKEN_KEY_BYTES, data.data, data.len, out, &len) != NULL &&
           len == TOKEN_KEY_BYTES;
}

bool token_key(struct bytes secret, uint8_t out[TOKEN_KEY_BYTES])
{
    static const char use[] = "gatehouse token";
    unsigned len = 0;

    return HMAC(EVP_sha256(), secret.data, (int)secret.len, (const uint8_t *)use, sizeof(use) - 1,
                out, &len) != NULL &&
           len == TOKEN_KEY_BYTES;
}

static void token_put(struct text *out, const char *key, const char *value)
{
    text_put_key(out, key);
    text_put_json(out, value);
}

static bool token_put_base64(struct text *out, struct bytes bytes)
{
    char *encoded = bytes_base64_encode(bytes, BYTES_BASE64_URL_NOPAD);

    text_put(out, encoded != NULL ? encoded : "");
    free(encoded);
    return encoded != NULL;
}

bool token_write(const uint8_t key[TOKEN_KEY_BYTES], const struct token *token, struct text *out)
{
    uint8_t mac[TOKEN_KEY_BYTES];
    struct text body;
    bool is_done;

    text_init(&body, TOKEN_MAX_BYTES / 2);
    text_put(&body, "{");
    token_put(&body, "t", token->tenant);
    token_put(&body, "u", token->upstream);
    token_put(&body, "p", token->principal);
    token_put(&body, "s", token->session);
    text_put_key(&body, "e");
    text_printf(&body, "%lld", (long long)token->expires_unix_s);
    text_put_key(&body, "n");
    text_put(&body, "[");
    for (size_t i = 0; i < token->name_count; i++) {
        text_put(&body, i > 0 ? "," : "");
        text_put_json(&body, token->names[i]);
    }
    text_put(&body, "]}");
    is_done = text_ok(&body) && token_mac(key, bytes_make(body.data, body.len), mac) &&
              token_put_base64(out, bytes_make(body.data, body.len));
    text_put(out, ".");
    is_done = is_done && token_put_base64(out, bytes_make(mac, sizeof(mac))) && text_ok(out);
    text_done(&body);
    return is_done;
}

static bool token_get(const json_t *doc, const char *key, char *out, size_t size,
                      struct gh_error *err)
{
    struct bytes value;

    GH_TRY(sjson_get_string(doc, key, &value, err));
    if (value.len >= size) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a token with too long a member");
    }
    memcpy(out, value.data, value.len);
    out[value.len] = '\0';
    return true;
}

static bool token_parse(struct bytes body, struct token *out, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    json_t *names = NULL;
    json_t *item;
    size_t index;

    GH_TRY(sjson_parse_object(body, TOKEN_MAX_BYTES, &doc, err));
    GH_TRY(token_get(doc, "t", out->tenant, sizeof(out->tenant), err));
    GH_TRY(token_get(doc, "u", out->upstream, sizeof(out->upstream), err));
    GH_TRY(token_get(doc, "p", out->principal, sizeof(out->principal), err));
    GH_TRY(token_get(doc, "s", out->session, sizeof(out->session), err));
    GH_TRY(sjson_opt_int(doc, "e", 0, &out->expires_unix_s, err));
    GH_TRY(sjson_opt_array(doc, "n", &names, err));
    json_array_foreach (names, index, item) {
        const char *name = json_string_value(item);

        if (name == NULL || index >= TOKEN_MAX_NAMES || strlen(name) > ROUTE_MAX_NAME) {
            return gh_fail(err, GH_MALFORMED_JSON, "a token with names that are none");
        }
        memcpy(out->names[index], name, strlen(name) + 1);
        out->name_count = index + 1;
    }
    return true;
}

bool token_read(const uint8_t key[TOKEN_KEY_BYTES], struct bytes text, int64_t now_unix_s,
                struct token *out)
{
    size_t dot = bytes_find_last(text, BYTES_LITERAL("."));
    GH_OWN(bytes_buf_done) struct bytes_buf body = {0};
    GH_OWN(bytes_buf_done) struct bytes_buf mac = {0};
    uint8_t wanted[TOKEN_KEY_BYTES];
    struct gh_error error = {0};

    if (text.len > TOKEN_MAX_BYTES || dot == SIZE_MAX ||
        !bytes_base64_decode(bytes_slice(text, 0, dot), BYTES_BASE64_URL_NOPAD, &body, &error) ||
        !bytes_base64_decode(bytes_slice(text, dot + 1, SIZE_MAX), BYTES_BASE64_URL_NOPAD, &mac,
                             &error) ||
        mac.len != sizeof(wanted) || !token_mac(key, bytes_view(&body), wanted) ||
        CRYPTO_memcmp(wanted, mac.data, sizeof(wanted)) != 0) {
        return false;
    }
    memset(out, 0, sizeof(*out));
    return token_parse(bytes_view(&body), out, &error) && now_unix_s < out->expires_unix_s;
}

bool token_has_name(const struct token *token, const char *name)
{
    for (size_t i = 0; i < token->name_count; i++) {
        if (strcmp(token->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- what is asked for ---- */

static int token_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool token_decode(struct bytes in, char *out, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < in.len; i++) {
        int value = in.data[i] == '+' ? ' ' : in.data[i];

        if (value == '%') {
            int high = i + 2 < in.len ? token_hex(in.data[i + 1]) : -1;
            int low = i + 2 < in.len ? token_hex(in.data[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            value = high << 4 | low;
            i += 2;
        }
        if (value == '\0' || used + 1 >= size) {
            return false;
        }
        out[used++] = (char)value;
    }
    out[used] = '\0';
    return true;
}

bool token_form_next(struct bytes *form, char *name, size_t name_size, char *value,
                     size_t value_size, bool *is_bad)
{
    struct bytes field;
    struct bytes key;

    *is_bad = false;
    if (form->len == 0) {
        return false;
    }
    if (!bytes_split(form, '&', &field)) {
        field = *form;
        *form = bytes_make(NULL, 0);
    }
    if (!bytes_split(&field, '=', &key)) {
        key = field;
        field = bytes_make(NULL, 0);
    }
    *is_bad = !token_decode(key, name, name_size) || !token_decode(field, value, value_size);
    return true;
}

static bool token_add_one(struct token *token, struct bytes scope)
{
    size_t last = bytes_find_last(scope, BYTES_LITERAL(":"));
    struct bytes actions = last != SIZE_MAX ? bytes_slice(scope, last + 1, SIZE_MAX) : scope;
    struct bytes name;
    char text[TOKEN_MAX_ACTIONS + 3];

    if (!bytes_starts_with(scope, BYTES_LITERAL("repository:")) || last <= 11 ||
        actions.len > TOKEN_MAX_ACTIONS) {
        return true; /* nothing that could be granted; asking is no mistake */
    }
    (void)snprintf(text, sizeof(text), ",%.*s,", (int)actions.len, (const char *)actions.data);
    if (strstr(text, ",pull,") == NULL && strstr(text, ",*,") == NULL) {
        return true;
    }
    name = bytes_slice(scope, 11, last - 11);
    if (token->name_count == TOKEN_MAX_NAMES || !route_name_is_valid(name, true)) {
        return false;
    }
    memcpy(token->names[token->name_count], name.data, name.len);
    token->names[token->name_count][name.len] = '\0';
    if (!token_has_name(token, token->names[token->name_count])) {
        token->name_count++;
    }
    return true;
}

bool token_add_scope(struct token *token, const char *scope)
{
    struct bytes rest = bytes_of(scope);
    struct bytes one;

    while (rest.len > 0) {
        if (!bytes_split(&rest, ' ', &one)) {
            one = rest;
            rest = bytes_make(NULL, 0);
        }
        if (!token_add_one(token, one)) {
            return false;
        }
    }
    return true;
}
