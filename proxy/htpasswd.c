#include "proxy/htpasswd.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "metrics/error.h"
#include "metrics/lock.h"

#define HTPASSWD_SLOTS 1024 /* accepted pairs remembered; a newer one takes an older one's slot */
#define HTPASSWD_MAC 32

struct htpasswd_user {
    char *name;
    char *hash;
};

struct htpasswd_slot {
    uint8_t mac[HTPASSWD_MAC];
    int64_t until_ms;
};

struct htpasswd {
    struct htpasswd_user *users; /* sorted by name */
    size_t user_count;
    uint8_t key[HTPASSWD_MAC]; /* of the keyed hash: passwords are not kept, not even hashed bare */
    struct lock lock;
    struct htpasswd_slot slots[HTPASSWD_SLOTS];
};

/* What an unknown user is checked against, so that names cannot be told from the time it takes. */
#define HTPASSWD_NOBODY "$2y$10$abcdefghijklmnopqrstuuq7C4ekaiC9jO4nMLhvt0lJmDbgAOC1S"

static int htpasswd_order(const void *a, const void *b)
{
    return strcmp(((const struct htpasswd_user *)a)->name, ((const struct htpasswd_user *)b)->name);
}

static bool htpasswd_read_line(struct htpasswd *htpasswd, struct bytes line, unsigned number,
                               struct gh_error *err)
{
    struct htpasswd_user *user = &htpasswd->users[htpasswd->user_count];
    struct bytes hash = line;
    struct bytes name;

    if (!bytes_split(&hash, ':', &name) || name.len == 0 || name.len > HTPASSWD_MAX_USER) {
        return gh_fail(err, GH_POLICY_DENIED, "line %u: wanted USER:HASH", number);
    }
    if (hash.len != 60 || hash.data[0] != '$' || hash.data[1] != '2' || hash.data[3] != '$' ||
        (hash.data[2] != 'y' && hash.data[2] != 'b' && hash.data[2] != 'a')) {
        return gh_fail(err, GH_POLICY_DENIED,
                       "line %u: only bcrypt hashes are accepted (htpasswd -B)", number);
    }
    if (!bytes_to_cstr(name, &user->name, err) || !bytes_to_cstr(hash, &user->hash, err)) {
        free(user->name);
        user->name = NULL;
        return false;
    }
    htpasswd->user_count++;
    return true;
}

static bool htpasswd_read_lines(struct htpasswd *htpasswd, struct bytes text, struct gh_error *err)
{
    unsigned number = 0;

    while (text.len > 0) {
        struct bytes line;

        if (!bytes_split(&text, '\n', &line)) {
            line = text;
            text = bytes_make(NULL, 0);
        }
        number++;
        if (line.len > 0 && line.data[line.len - 1] == '\r') {
            line.len--;
        }
        if (line.len == 0 || line.data[0] == '#') {
            continue;
        }
        if (htpasswd->user_count == HTPASSWD_MAX_USERS) {
            return gh_fail(err, GH_POLICY_DENIED, "more than %d users", HTPASSWD_MAX_USERS);
        }
        GH_TRY(htpasswd_read_line(htpasswd, line, number, err));
    }
    qsort(htpasswd->users, htpasswd->user_count, sizeof(*htpasswd->users), htpasswd_order);
    for (size_t i = 1; i < htpasswd->user_count; i++) {
        if (strcmp(htpasswd->users[i - 1].name, htpasswd->users[i].name) == 0) {
            return gh_fail(err, GH_POLICY_DENIED, "user '%s' stands there twice",
                           htpasswd->users[i].name);
        }
    }
    return true;
}

bool htpasswd_parse(struct bytes text, struct htpasswd **out, struct gh_error *err)
{
    GH_OWN(htpasswd_freep) struct htpasswd *htpasswd = calloc(1, sizeof(*htpasswd));

    if (htpasswd == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for users");
    }
    lock_init(&htpasswd->lock, GH_RANK_LIMIT);
    htpasswd->users = calloc(HTPASSWD_MAX_USERS, sizeof(*htpasswd->users));
    if (htpasswd->users == NULL || RAND_bytes(htpasswd->key, sizeof(htpasswd->key)) != 1) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory or randomness for users");
    }
    GH_TRY(htpasswd_read_lines(htpasswd, text, err));
    *out = GH_TAKE(htpasswd);
    return true;
}

void htpasswd_free(struct htpasswd *htpasswd)
{
    if (htpasswd == NULL) {
        return;
    }
    for (size_t i = 0; i < htpasswd->user_count; i++) {
        free(htpasswd->users[i].name);
        free(htpasswd->users[i].hash);
    }
    free(htpasswd->users);
    lock_done(&htpasswd->lock);
    OPENSSL_cleanse(htpasswd, sizeof(*htpasswd));
    free(htpasswd);
}

bool htpasswd_read_basic(struct bytes value, char user[HTPASSWD_MAX_USER + 1],
                         char password[HTPASSWD_MAX_PASSWORD + 1])
{
    struct bytes_buf decoded;
    struct gh_error err = {0};
    struct bytes rest;
    struct bytes name;
    bool is_ok = false;

    if (value.len < 6 || strncasecmp((const char *)value.data, "Basic ", 6) != 0) {
        return false;
    }
    value = bytes_slice(value, 6, SIZE_MAX);
    bytes_skip_space(&value);
    if (!bytes_base64_decode(value, BYTES_BASE64_STANDARD, &decoded, &err)) {
        return false;
    }
    rest = bytes_view(&decoded);
    if (bytes_split(&rest, ':', &name) && name.len > 0 && name.len <= HTPASSWD_MAX_USER &&
        rest.len <= HTPASSWD_MAX_PASSWORD && !bytes_contains_nul(bytes_view(&decoded))) {
        memcpy(user, name.data, name.len);
        user[name.len] = '\0';
        if (rest.len > 0) {
            memcpy(password, rest.data, rest.len);
        }
        password[rest.len] = '\0';
        is_ok = true;
    }
    OPENSSL_cleanse(decoded.data, decoded.len);
    bytes_buf_done(&decoded);
    return is_ok;
}

/* Keyed hash of the pair; the length of the name keeps "a" + "bc" apart from "ab" + "c". */
static bool htpasswd_mac(const struct htpasswd *htpasswd, const char *user, const char *password,
                         uint8_t out[HTPASSWD_MAC])
{
    char pair[HTPASSWD_MAX_USER + HTPASSWD_MAX_PASSWORD + 3];
    unsigned len = 0;
    size_t user_len = strnlen(user, HTPASSWD_MAX_USER);
    size_t password_len = strnlen(password, HTPASSWD_MAX_PASSWORD);
    bool is_ok;

    pair[0] = (char)user_len;
    memcpy(pair + 1, user, user_len);
    memcpy(pair + 1 + user_len, password, password_len);
    is_ok = HMAC(EVP_sha256(), htpasswd->key, sizeof(htpasswd->key), (const uint8_t *)pair,
                 1 + user_len + password_len, out, &len) != NULL &&
            len == HTPASSWD_MAC;
    OPENSSL_cleanse(pair, sizeof(pair));
    return is_ok;
}

static struct htpasswd_slot *htpasswd_slot(struct htpasswd *htpasswd,
                                           const uint8_t mac[HTPASSWD_MAC])
{
    return &htpasswd->slots[((unsigned)mac[0] << 8 | mac[1]) % HTPASSWD_SLOTS];
}

bool htpasswd_is_remembered(struct htpasswd *htpasswd, const char *user, const char *password,
                            int64_t now_ms)
{
    uint8_t mac[HTPASSWD_MAC];
    const struct htpasswd_slot *slot;

    if (!htpasswd_mac(htpasswd, user, password, mac)) {
        return false;
    }
    LOCK_HOLD(&htpasswd->lock);
    slot = htpasswd_slot(htpasswd, mac);
    return slot->until_ms > now_ms && CRYPTO_memcmp(slot->mac, mac, sizeof(mac)) == 0;
}

static void htpasswd_remember(struct htpasswd *htpasswd, const char *user, const char *password,
                              int64_t now_ms)
{
    uint8_t mac[HTPASSWD_MAC];
    struct htpasswd_slot *slot;

    if (!htpasswd_mac(htpasswd, user, password, mac)) {
        return;
    }
    LOCK_HOLD(&htpasswd->lock);
    slot = htpasswd_slot(htpasswd, mac);
    memcpy(slot->mac, mac, sizeof(mac));
    slot->until_ms = now_ms + HTPASSWD_REMEMBER_MS;
}

bool htpasswd_check(struct htpasswd *htpasswd, const char *user, const char *password,
                    int64_t now_ms)
{
    struct htpasswd_user wanted = {.name = (char *)user};
    const struct htpasswd_user *found = bsearch(&wanted, htpasswd->users, htpasswd->user_count,
                                                sizeof(*htpasswd->users), htpasswd_order);
    const char *hash = found != NULL ? found->hash : HTPASSWD_NOBODY;
    struct crypt_data *data = calloc(1, sizeof(*data));
    const char *made;
    bool is_right;

    if (data == NULL) {
        return false;
    }
    made = crypt_r(password, hash, data);
    is_right = made != NULL && strlen(made) == strlen(hash) &&
               CRYPTO_memcmp(made, hash, strlen(hash)) == 0 && found != NULL;
    OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    if (is_right) {
        htpasswd_remember(htpasswd, user, password, now_ms);
    }
    return is_right;
}
