#include "metrics/audit_note.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "metrics/text.h"

#define NOTE_ED25519 0x01 /* C2SP signature type */
#define NOTE_ID_BYTES 4
#define NOTE_PUBLIC_BYTES 32
#define NOTE_SIGNATURE_BYTES 64
#define NOTE_DASH "\xe2\x80\x94 " /* em dash and space */

struct audit_note_key {
    char name[AUDIT_NOTE_MAX_NAME];
    uint8_t id[NOTE_ID_BYTES];
    uint8_t public[NOTE_PUBLIC_BYTES];
    EVP_PKEY *pkey;
    bool can_sign;
};

static bool note_name_is_good(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= AUDIT_NOTE_MAX_NAME) {
        return false;
    }
    for (; *name != '\0'; name++) {
        if (*name <= ' ' || *name >= 0x7f || *name == '+') {
            return false;
        }
    }
    return true;
}

/* SHA-256(name, line feed, type, public key), the first four bytes. */
static bool note_key_id(struct audit_note_key *key)
{
    uint8_t raw[AUDIT_NOTE_MAX_NAME + 2 + NOTE_PUBLIC_BYTES];
    size_t len = strlen(key->name);
    uint8_t hash[EVP_MAX_MD_SIZE];

    memcpy(raw, key->name, len);
    raw[len++] = '\n';
    raw[len++] = NOTE_ED25519;
    memcpy(raw + len, key->public, NOTE_PUBLIC_BYTES);
    if (EVP_Digest(raw, len + NOTE_PUBLIC_BYTES, hash, NULL, EVP_sha256(), NULL) != 1) {
        return false;
    }
    memcpy(key->id, hash, sizeof(key->id));
    return true;
}

/* Standard base64 with padding, strictly: what is decoded must encode to the same text. */
static bool note_base64(const char *in, size_t in_len, uint8_t *out, size_t out_len)
{
    uint8_t raw[3 * (AUDIT_NOTE_MAX_BYTES / 4) + 4];
    char again[AUDIT_NOTE_MAX_BYTES + 8];
    int n;

    if (in_len == 0 || in_len > AUDIT_NOTE_MAX_BYTES || in_len % 4 != 0 ||
        in_len != (out_len + 2) / 3 * 4) {
        return false;
    }
    n = EVP_DecodeBlock(raw, (const unsigned char *)in, (int)in_len);
    if (n < 0 || (size_t)n < out_len) {
        return false;
    }
    (void)EVP_EncodeBlock((unsigned char *)again, raw, (int)out_len);
    if (memcmp(again, in, in_len) != 0) {
        return false;
    }
    memcpy(out, raw, out_len);
    return true;
}

void audit_note_key_free(struct audit_note_key *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        free(key);
    }
}

static bool note_key_pem(struct audit_note_key *key, const void *data, size_t len,
                         struct gh_error *err)
{
    size_t public_len = sizeof(key->public);
    BIO *bio = BIO_new_mem_buf(data, (int)len);

    if (bio != NULL) {
        key->pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t) "");
        key->can_sign = key->pkey != NULL;
        if (key->pkey == NULL) {
            (void)BIO_reset(bio);
            key->pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        }
        BIO_free(bio);
    }
    ERR_clear_error();
    if (key->pkey == NULL || EVP_PKEY_get_base_id(key->pkey) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(key->pkey, key->public, &public_len) != 1 ||
        public_len != sizeof(key->public)) {
        ERR_clear_error();
        return gh_fail(err, GH_INTERNAL_ERROR,
                       "the audit key is not an Ed25519 key in PEM (openssl genpkey -algorithm "
                       "ed25519 makes one)");
    }
    return true;
}

/* "name+hash+base64": hash is the key id in hex, base64 holds the type and the public key. */
static bool note_key_verifier(struct audit_note_key *key, const char *data, size_t len,
                              struct gh_error *err)
{
    const char *first = memchr(data, '+', len);
    const char *second = NULL;
    uint8_t raw[1 + NOTE_PUBLIC_BYTES];
    char id[2 * NOTE_ID_BYTES + 1];
    size_t rest;

    if (first != NULL) {
        second = memchr(first + 1, '+', len - (size_t)(first + 1 - data));
    }
    if (first == NULL || second == NULL || second - first != 2 * NOTE_ID_BYTES + 1 ||
        (size_t)(first - data) >= sizeof(key->name)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the audit key is neither PEM nor name+hash+key");
    }
    memcpy(key->name, data, (size_t)(first - data));
    rest = len - (size_t)(second + 1 - data);
    while (rest > 0 && (second[rest] == '\n' || second[rest] == '\r')) {
        rest--;
    }
    if (!note_name_is_good(key->name) || !note_base64(second + 1, rest, raw, sizeof(raw)) ||
        raw[0] != NOTE_ED25519) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the audit verifier key is not an Ed25519 key");
    }
    memcpy(key->public, raw + 1, sizeof(key->public));
    key->pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->public, sizeof(key->public));
    if (key->pkey == NULL || !note_key_id(key)) {
        ERR_clear_error();
        return gh_fail(err, GH_INTERNAL_ERROR, "the audit verifier key cannot be used");
    }
    for (int i = 0; i < NOTE_ID_BYTES; i++) {
        (void)snprintf(id + 2 * i, 3, "%02x", key->id[i]);
    }
    if (memcmp(id, first + 1, 2 * NOTE_ID_BYTES) != 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the audit verifier key's hash is not its own");
    }
    return true;
}

bool audit_note_key_read(const void *data, size_t len, const char *name,
                         struct audit_note_key **out, struct gh_error *err)
{
    GH_OWN(audit_note_key_freep) struct audit_note_key *key = calloc(1, sizeof(*key));
    static const char pem[] = "-----BEGIN";

    if (key == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (len >= sizeof(pem) - 1 && len < 65536 && memcmp(data, pem, sizeof(pem) - 1) == 0) {
        if (name == NULL || !note_name_is_good(name)) {
            return gh_fail(err, GH_INTERNAL_ERROR,
                           "the audit key needs a name without blanks and plus signs");
        }
        (void)snprintf(key->name, sizeof(key->name), "%s", name);
        GH_TRY(note_key_pem(key, data, len, err));
        if (!note_key_id(key)) {
            return gh_fail(err, GH_INTERNAL_ERROR, "the audit key cannot be hashed");
        }
    } else {
        GH_TRY(note_key_verifier(key, data, len, err));
        if (name != NULL && strcmp(name, key->name) != 0) {
            return gh_fail(err, GH_INTERNAL_ERROR, "the audit verifier key is named %s, not %s",
                           key->name, name);
        }
    }
    *out = GH_TAKE(key);
    return true;
}

bool audit_note_key_can_sign(const struct audit_note_key *key)
{
    return key->can_sign;
}

static void note_put_base64(struct text *out, const uint8_t *data, size_t len)
{
    char encoded[256];

    (void)EVP_EncodeBlock((unsigned char *)encoded, data, (int)len);
    text_put(out, encoded);
}

void audit_note_key_show(const struct audit_note_key *key, struct text *out)
{
    uint8_t raw[1 + NOTE_PUBLIC_BYTES] = {NOTE_ED25519};

    memcpy(raw + 1, key->public, sizeof(key->public));
    text_put(out, key->name);
    text_put_char(out, '+');
    text_put_hex(out, key->id, sizeof(key->id));
    text_put_char(out, '+');
    note_put_base64(out, raw, sizeof(raw));
}

bool audit_note_sign(const struct audit_note_key *key, const struct audit_note *note,
                     struct text *out, struct gh_error *err)
{
    uint8_t raw[NOTE_ID_BYTES + NOTE_SIGNATURE_BYTES];
    size_t signature_len = NOTE_SIGNATURE_BYTES;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok;

    text_printf(out, "%s\n%llu\n", note->origin, (unsigned long long)note->size);
    note_put_base64(out, note->root, sizeof(note->root));
    text_put_char(out, '\n');
    memcpy(raw, key->id, sizeof(key->id));
    ok = ctx != NULL && text_ok(out) && key->can_sign &&
         EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
         EVP_DigestSign(ctx, raw + NOTE_ID_BYTES, &signature_len, (const uint8_t *)out->data,
                        out->len) == 1 &&
         signature_len == NOTE_SIGNATURE_BYTES;
    EVP_MD_CTX_free(ctx);
    if (!ok) {
        ERR_clear_error();
        return gh_fail(err, GH_INTERNAL_ERROR, "a checkpoint of the audit log cannot be signed");
    }
    text_put_char(out, '\n');
    text_put(out, NOTE_DASH);
    text_put(out, key->name);
    text_put_char(out, ' ');
    note_put_base64(out, raw, sizeof(raw));
    text_put_char(out, '\n');
    return text_ok(out) || gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
}

/* One line off the front, without its line feed. */
static bool note_line(const char **in, size_t *len, const char **line, size_t *line_len)
{
    const char *end = memchr(*in, '\n', *len);

    if (end == NULL) {
        return false;
    }
    *line = *in;
    *line_len = (size_t)(end - *in);
    *len -= *line_len + 1;
    *in = end + 1;
    return true;
}

static bool note_number(const char *line, size_t len, uint64_t *out)
{
    uint64_t value = 0;

    if (len == 0 || len > 19 || (len > 1 && line[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (line[i] < '0' || line[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(line[i] - '0');
    }
    *out = value;
    return true;
}

static bool note_verify(const struct audit_note_key *key, const char *text, size_t len,
                        const uint8_t *signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok =
        ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) == 1 &&
        EVP_DigestVerify(ctx, signature, NOTE_SIGNATURE_BYTES, (const uint8_t *)text, len) == 1;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

/* One signature line. *good when one of KEYS, named as the origin, made it; a bad signature of a
 * known key fails. */
static bool note_signature(const char *line, size_t len, const char *text, size_t text_len,
                           const struct audit_note_key *const *keys, size_t key_count,
                           const struct audit_note *note, bool *good, struct gh_error *err)
{
    uint8_t raw[NOTE_ID_BYTES + NOTE_SIGNATURE_BYTES];
    const char *blank;
    size_t name_len;

    if (len < sizeof(NOTE_DASH) || memcmp(line, NOTE_DASH, sizeof(NOTE_DASH) - 1) != 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "a signature line does not begin with a dash");
    }
    line += sizeof(NOTE_DASH) - 1;
    len -= sizeof(NOTE_DASH) - 1;
    blank = memchr(line, ' ', len);
    if (blank == NULL || blank == line) {
        return gh_fail(err, GH_SIG_MALFORMED, "a signature line has no name");
    }
    name_len = (size_t)(blank - line);
    for (size_t i = 0; i < key_count; i++) {
        if (strlen(keys[i]->name) != name_len || memcmp(keys[i]->name, line, name_len) != 0 ||
            strcmp(keys[i]->name, note->origin) != 0) {
            continue;
        }
        if (!note_base64(blank + 1, len - name_len - 1, raw, sizeof(raw))) {
            return gh_fail(err, GH_SIG_MALFORMED, "a signature is not base64 of its length");
        }
        if (memcmp(raw, keys[i]->id, NOTE_ID_BYTES) != 0) {
            continue;
        }
        if (!note_verify(keys[i], text, text_len, raw + NOTE_ID_BYTES)) {
            return gh_fail(err, GH_SIG_INVALID, "the signature of %s does not verify",
                           keys[i]->name);
        }
        *good = true;
    }
    return true;
}

bool audit_note_read(const char *text, size_t len, const struct audit_note_key *const *keys,
                     size_t key_count, struct audit_note *out, struct gh_error *err)
{
    const char *in = text;
    struct audit_note note = {0};
    size_t line_len;
    size_t signed_len;
    const char *line;
    bool good = false;
    int count = 0;

    if (len > AUDIT_NOTE_MAX_BYTES || memchr(text, '\0', len) != NULL) {
        return gh_fail(err, GH_SIG_MALFORMED, "a note is longer than %d bytes or not text",
                       AUDIT_NOTE_MAX_BYTES);
    }
    if (!note_line(&in, &len, &line, &line_len) || line_len >= sizeof(note.origin)) {
        return gh_fail(err, GH_SIG_MALFORMED, "a note has no origin line");
    }
    memcpy(note.origin, line, line_len);
    if (!note_name_is_good(note.origin) || !note_line(&in, &len, &line, &line_len) ||
        !note_number(line, line_len, &note.size) || !note_line(&in, &len, &line, &line_len) ||
        !note_base64(line, line_len, note.root, sizeof(note.root))) {
        return gh_fail(err, GH_SIG_MALFORMED, "a note does not hold origin, size and hash");
    }
    signed_len = (size_t)(in - text);
    if (!note_line(&in, &len, &line, &line_len) || line_len != 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "a note has no blank line before its signatures");
    }
    while (len > 0) {
        if (++count > AUDIT_NOTE_MAX_SIGNATURES || !note_line(&in, &len, &line, &line_len)) {
            return gh_fail(err, GH_SIG_MALFORMED, "a note has too many or torn signature lines");
        }
        GH_TRY(
            note_signature(line, line_len, text, signed_len, keys, key_count, &note, &good, err));
    }
    if (count == 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "a note has no signature");
    }
    if (key_count > 0 && !good) {
        return gh_fail(err, GH_KEY_UNKNOWN, "no given key has signed the note of %s", note.origin);
    }
    *out = note;
    return true;
}
