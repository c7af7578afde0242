#include "crypto/keyed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "metrics/text.h"

#define KEYED_MAX_ALGORITHMS 2

struct keyed_algorithm {
    enum key_scheme scheme;
    enum digest_alg alg;
};

bool keyed_message_init(struct keyed_message *message, struct bytes bytes, struct gh_error *err)
{
    memset(message, 0, sizeof(*message));
    message->bytes = bytes.data != NULL ? bytes : BYTES_LITERAL("");
    return digest_compute(DIGEST_SHA256, message->bytes, &message->sha256, err);
}

static struct digest *keyed_message_slot(struct keyed_message *message, enum digest_alg alg)
{
    switch (alg) {
    case DIGEST_SHA384:
        return &message->sha384;
    case DIGEST_SHA512:
        return &message->sha512;
    case DIGEST_SHA256:
    case DIGEST_NONE:
        break;
    }
    return &message->sha256;
}

void keyed_message_init_digest(struct keyed_message *message, const struct digest *digest)
{
    memset(message, 0, sizeof(*message));
    *keyed_message_slot(message, digest->alg) = *digest;
}

bool keyed_message_digest(struct keyed_message *message, enum digest_alg alg,
                          const struct digest **out, struct gh_error *err)
{
    struct digest *slot = keyed_message_slot(message, alg);

    if (slot->alg == DIGEST_NONE) {
        if (message->bytes.data == NULL) {
            return gh_fail(err, GH_SIG_ALG_UNSUPPORTED,
                           "the key hashes with %s, and only another digest is given",
                           digest_alg_name(alg));
        }
        GH_TRY(digest_compute(alg, message->bytes, slot, err));
    }
    *out = slot;
    return true;
}

static size_t keyed_algorithms(const struct key *key, enum keyed_preference preference,
                               struct keyed_algorithm out[KEYED_MAX_ALGORITHMS])
{
    enum digest_alg own = key_own_digest(key);
    bool is_own_first = preference == KEYED_OWN_HASH_FIRST;

    switch (key_type(key)) {
    case KEY_TYPE_P256:
        out[0] = (struct keyed_algorithm){KEY_SCHEME_ECDSA, DIGEST_SHA256};
        return 1;
    case KEY_TYPE_P384:
    case KEY_TYPE_P521:
        out[0] = (struct keyed_algorithm){KEY_SCHEME_ECDSA, is_own_first ? own : DIGEST_SHA256};
        out[1] = (struct keyed_algorithm){KEY_SCHEME_ECDSA, is_own_first ? DIGEST_SHA256 : own};
        return 2;
    case KEY_TYPE_RSA:
        out[0] = (struct keyed_algorithm){KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256};
        out[1] = (struct keyed_algorithm){KEY_SCHEME_RSA_PSS, DIGEST_SHA256};
        return 2;
    case KEY_TYPE_ED25519:
        out[0] = (struct keyed_algorithm){KEY_SCHEME_ED25519, DIGEST_SHA512};
        out[1] = (struct keyed_algorithm){KEY_SCHEME_ED25519_PH, DIGEST_SHA512};
        return 2;
    }
    return 0;
}

static bool keyed_check_one(const struct key *key, struct keyed_message *message,
                            struct keyed_algorithm algorithm, struct bytes signature,
                            struct gh_error *err)
{
    const struct digest *digest;

    if (algorithm.scheme == KEY_SCHEME_ED25519 || algorithm.scheme == KEY_SCHEME_ED25519_PH) {
        if (message->bytes.data == NULL) {
            return gh_fail(err, GH_SIG_ALG_UNSUPPORTED,
                           "Ed25519 signs the content itself, and only a digest is given");
        }
        return key_verify(key, algorithm.scheme, algorithm.alg, message->bytes, signature, err);
    }
    GH_TRY(keyed_message_digest(message, algorithm.alg, &digest, err));
    return key_verify_digest(key, algorithm.scheme, digest, signature, err);
}

/* Some tools write r and s side by side. It is the right length and no DER: say so. */
static bool keyed_is_raw(const struct key *key, struct bytes signature)
{
    bool is_ecdsa = key_default_scheme(key) == KEY_SCHEME_ECDSA;

    return is_ecdsa && signature.len == 2 * (size_t)((key_bits(key) + 7) / 8) &&
           signature.data[0] != 0x30;
}

bool keyed_check(const struct key *key, struct keyed_message *message,
                 enum keyed_preference preference, struct bytes signature, enum key_scheme *scheme,
                 enum digest_alg *alg, struct gh_error *err)
{
    struct keyed_algorithm algorithms[KEYED_MAX_ALGORITHMS];
    size_t count = keyed_algorithms(key, preference, algorithms);
    struct gh_error first = {0};

    for (size_t i = 0; i < count; i++) {
        struct gh_error failure = {0};

        if (keyed_check_one(key, message, algorithms[i], signature, &failure)) {
            if (scheme != NULL) {
                *scheme = algorithms[i].scheme;
            }
            if (alg != NULL) {
                *alg = algorithms[i].alg;
            }
            return true;
        }
        if (first.cause == GH_CAUSE_NONE) {
            first = failure;
        }
        if (failure.cause == GH_KEY_WEAK) {
            break;
        }
    }
    if (first.cause == GH_SIG_INVALID && keyed_is_raw(key, signature)) {
        return gh_fail(err, GH_SIG_MALFORMED,
                       "the ECDSA signature is r and s side by side, wanted is their DER");
    }
    return gh_fail(err, first.cause, "%s", first.text);
}

static bool keyed_hint_fits_key(const struct key *key, struct bytes hint)
{
    char text[DIGEST_MAX_TEXT];
    char *base64;
    bool fits;

    if (hint.data == NULL) {
        return false;
    }
    bytes_hex_encode(digest_bytes(key_fingerprint(key)), text);
    if (bytes_equal_cstr(hint, text)) {
        return true;
    }
    base64 = bytes_base64_encode(digest_bytes(key_fingerprint(key)), BYTES_BASE64_STANDARD);
    fits = base64 != NULL && bytes_equal_cstr(hint, base64);
    free(base64);
    return fits;
}

bool keyed_hint_fits(const struct signer *signer, struct bytes hint)
{
    for (size_t i = 0; i < signer->key_count; i++) {
        if (signer->keys[i].key != NULL && keyed_hint_fits_key(signer->keys[i].key, hint)) {
            return true;
        }
    }
    return false;
}

/* Which failure is worth showing: what hints at the right key over a plain mismatch. */
static bool keyed_is_better(enum gh_cause a, enum gh_cause b)
{
    return b == GH_CAUSE_NONE || (b == GH_SIG_INVALID && a != GH_SIG_INVALID);
}

static bool keyed_has_all_keys(const struct signer *signer)
{
    for (size_t i = 0; i < signer->key_count; i++) {
        if (signer->keys[i].key == NULL) {
            return false;
        }
    }
    return true;
}

/* Keys are visited twice, those that the hint names first: *at counts both rounds. */
bool keyed_find(const struct signer *signer, struct keyed_message *message,
                enum keyed_preference preference, struct bytes signature, struct bytes hint,
                size_t *at, struct keyed_match *out, struct gh_error *err)
{
    struct gh_error best = {0};
    bool is_hint_known = hint.data == NULL || keyed_hint_fits(signer, hint);

    for (; *at < 2 * signer->key_count; (*at)++) {
        const struct signer_key *key = &signer->keys[*at % signer->key_count];
        bool is_first_round = *at < signer->key_count;
        struct gh_error failure = {0};

        if (key->key == NULL || keyed_hint_fits_key(key->key, hint) != is_first_round) {
            continue;
        }
        if (keyed_check(key->key, message, preference, signature, &out->scheme, &out->alg,
                        &failure)) {
            out->key = key;
            (*at)++;
            return true;
        }
        if (keyed_is_better(failure.cause, best.cause)) {
            best = failure;
        }
    }
    if (!keyed_has_all_keys(signer)) {
        /* A key that could not be obtained may be the one that signed. */
        return gh_fail(err, GH_KEY_RESOLVE_FAILED, "a key of signer %s could not be obtained",
                       signer->name);
    }
    if (best.cause == GH_CAUSE_NONE) {
        return gh_fail(err, GH_KEY_UNKNOWN, "signer %s has no key", signer->name);
    }
    if (best.cause == GH_SIG_INVALID && !is_hint_known) {
        return gh_fail(err, GH_KEY_UNKNOWN,
                       "the signature was made with key %.*s, which is not one of signer %s",
                       (int)GH_MIN(hint.len, (size_t)64), (const char *)hint.data, signer->name);
    }
    return gh_fail(err, best.cause, "%s", best.text);
}

static void keyed_time_text(int64_t unix_s, char *out, size_t size)
{
    struct text text;

    text_init(&text, 64);
    text_put_time(&text, unix_s);
    (void)snprintf(out, size, "%s", text_cstr(&text));
    text_done(&text);
}

static bool keyed_check_time(const struct signer_key *key, int64_t unix_s, bool is_proved,
                             struct gh_error *err)
{
    char when[40];
    char limit[40];

    if (unix_s >= key->not_before_unix_s && unix_s <= key->not_after_unix_s) {
        return true;
    }
    keyed_time_text(unix_s, when, sizeof(when));
    if (unix_s < key->not_before_unix_s) {
        keyed_time_text(key->not_before_unix_s, limit, sizeof(limit));
        return gh_fail(err, GH_KEY_NOT_YET_VALID, "key %s is valid from %s, %s %s", key->source,
                       limit, is_proved ? "signed at" : "and without a proved time it is", when);
    }
    keyed_time_text(key->not_after_unix_s, limit, sizeof(limit));
    return gh_fail(err, GH_KEY_EXPIRED, "key %s is valid until %s, %s %s", key->source, limit,
                   is_proved ? "signed at" : "and without a proved time it is", when);
}

static bool keyed_check_revoked(const struct signer_key *key, const int64_t *times_unix_s,
                                size_t time_count, int64_t now_unix_s, struct gh_error *err)
{
    switch (key->revoked) {
    case SIGNER_NOT_REVOKED:
        return true;
    case SIGNER_COMPROMISED:
        return gh_fail(err, GH_KEY_REVOKED, "key %s is revoked: it was compromised", key->source);
    case SIGNER_SUPERSEDED:
    case SIGNER_RETIRED:
        break;
    }
    for (size_t i = 0; i < time_count; i++) {
        if (times_unix_s[i] >= key->revoked_at_unix_s) {
            return gh_fail(err, GH_KEY_REVOKED, "key %s was revoked before the signature was made",
                           key->source);
        }
    }
    /* Before the revocation comes into force, that the signature is here proves that it is older.
     */
    if (time_count == 0 && now_unix_s >= key->revoked_at_unix_s) {
        return gh_fail(err, GH_KEY_REVOKED,
                       "key %s is revoked, and nothing proves that the signature is older",
                       key->source);
    }
    return true;
}

bool keyed_check_window(const struct signer_key *key, const int64_t *times_unix_s,
                        size_t time_count, int64_t now_unix_s, struct gh_error *err)
{
    GH_TRY(keyed_check_revoked(key, times_unix_s, time_count, now_unix_s, err));
    for (size_t i = 0; i < time_count; i++) {
        GH_TRY(keyed_check_time(key, times_unix_s[i], true, err));
    }
    return time_count > 0 || keyed_check_time(key, now_unix_s, false, err);
}
