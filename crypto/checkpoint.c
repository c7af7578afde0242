#include "crypto/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/memo.h"
#include "metrics/error.h"

#define CHECKPOINT_DASH BYTES_LITERAL("\xe2\x80\x94 ") /* U+2014 and a space */
#define CHECKPOINT_TYPE_ED25519 0x01
#define CHECKPOINT_TYPE_COSIGNATURE 0x04
#define CHECKPOINT_COSIGNATURE_BYTES (8 + 64)
#define CHECKPOINT_SIZE_DIGITS 19

static bool checkpoint_refuse(struct gh_error *err, const char *why)
{
    return gh_fail(err, GH_CHECKPOINT_MALFORMED, "the checkpoint cannot be read: %s", why);
}

static bool checkpoint_check_characters(struct bytes note, struct gh_error *err)
{
    if (!bytes_is_utf8(note)) {
        return checkpoint_refuse(err, "it is not UTF-8");
    }
    for (size_t i = 0; i < note.len; i++) {
        if ((note.data[i] < 0x20 && note.data[i] != '\n') || note.data[i] == 0x7f) {
            return checkpoint_refuse(err, "it holds a control character");
        }
    }
    return true;
}

static bool checkpoint_read_size(struct bytes line, uint64_t *out, struct gh_error *err)
{
    uint64_t value = 0;

    if (line.len == 0 || line.len > CHECKPOINT_SIZE_DIGITS ||
        (line.len > 1 && line.data[0] == '0')) {
        return checkpoint_refuse(err, "its tree size is not a decimal number");
    }
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return checkpoint_refuse(err, "its tree size is not a decimal number");
        }
        value = value * 10 + (uint64_t)(line.data[i] - '0');
    }
    if (value > INT64_MAX) {
        return checkpoint_refuse(err, "its tree size is too large");
    }
    *out = value;
    return true;
}

static bool checkpoint_read_text(struct checkpoint *checkpoint, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf root = {0};
    struct bytes rest = checkpoint->text;
    struct bytes line = {0};

    if (!bytes_split(&rest, '\n', &checkpoint->origin) || checkpoint->origin.len == 0) {
        return checkpoint_refuse(err, "its origin is missing");
    }
    if (!bytes_split(&rest, '\n', &line)) {
        return checkpoint_refuse(err, "its tree size is missing");
    }
    GH_TRY(checkpoint_read_size(line, &checkpoint->size, err));
    if (!bytes_split(&rest, '\n', &line) ||
        !bytes_base64_decode(line, BYTES_BASE64_STANDARD, &root, NULL) ||
        root.len != sizeof(checkpoint->root)) {
        return checkpoint_refuse(err, "its root hash is missing or not 32 bytes");
    }
    memcpy(checkpoint->root, root.data, sizeof(checkpoint->root));
    while (bytes_split(&rest, '\n', &line)) {
        if (line.len == 0) {
            return checkpoint_refuse(err, "its text holds an empty line");
        }
    }
    return rest.len == 0 || checkpoint_refuse(err, "its text does not end in a newline");
}

static bool checkpoint_read_signature(struct bytes line, struct checkpoint *checkpoint,
                                      size_t *used, struct gh_error *err)
{
    struct checkpoint_signature *out = &checkpoint->signatures[checkpoint->signature_count];
    GH_OWN(bytes_buf_done) struct bytes_buf value = {0};
    struct bytes rest = bytes_slice(line, CHECKPOINT_DASH.len, line.len);

    if (!bytes_starts_with(line, CHECKPOINT_DASH) || !bytes_split(&rest, ' ', &out->name) ||
        out->name.len == 0 || bytes_find(out->name, BYTES_LITERAL("+")) != SIZE_MAX) {
        return checkpoint_refuse(err, "a signature line has another form");
    }
    if (!bytes_base64_decode(rest, BYTES_BASE64_STANDARD, &value, NULL) ||
        value.len <= CHECKPOINT_KEY_ID_BYTES) {
        return checkpoint_refuse(err, "a signature is not base64 of a key id and a signature");
    }
    memcpy(out->key_id, value.data, CHECKPOINT_KEY_ID_BYTES);
    /* Decoded bytes are fewer than the text they came from, so the note's length has room. */
    memcpy(checkpoint->decoded.data + *used, value.data, value.len);
    out->value = bytes_make(checkpoint->decoded.data + *used + CHECKPOINT_KEY_ID_BYTES,
                            value.len - CHECKPOINT_KEY_ID_BYTES);
    *used += value.len;
    checkpoint->signature_count++;
    return true;
}

static bool checkpoint_read(struct bytes note, struct checkpoint *checkpoint, struct gh_error *err)
{
    size_t gap = bytes_find_last(note, BYTES_LITERAL("\n\n"));
    struct bytes rest;
    struct bytes line = {0};
    size_t used = 0;

    GH_TRY(checkpoint_check_characters(note, err));
    if (gap == SIZE_MAX) {
        return checkpoint_refuse(err, "no empty line divides text and signatures");
    }
    checkpoint->text = bytes_slice(note, 0, gap + 1);
    GH_TRY(checkpoint_read_text(checkpoint, err));
    GH_TRY(bytes_buf_alloc(note.len, &checkpoint->decoded, err));
    rest = bytes_slice(note, gap + 2, note.len);
    while (bytes_split(&rest, '\n', &line)) {
        if (checkpoint->signature_count == CHECKPOINT_MAX_SIGNATURES) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                           "the checkpoint has more than %d signatures", CHECKPOINT_MAX_SIGNATURES);
        }
        GH_TRY(checkpoint_read_signature(line, checkpoint, &used, err));
    }
    if (rest.len > 0 || checkpoint->signature_count == 0) {
        return checkpoint_refuse(err, "it has no complete signature line");
    }
    return true;
}

bool checkpoint_parse(struct bytes note, struct checkpoint *out, struct gh_error *err)
{
    memset(out, 0, sizeof(*out));
    if (note.len > CHECKPOINT_MAX_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a checkpoint has %zu bytes, limit %u",
                       note.len, CHECKPOINT_MAX_BYTES);
    }
    if (!checkpoint_read(note, out, err)) {
        checkpoint_done(out);
        return gh_recast(err, GH_CHECKPOINT_MALFORMED);
    }
    return true;
}

void checkpoint_done(struct checkpoint *checkpoint)
{
    bytes_buf_done(&checkpoint->decoded);
    memset(checkpoint, 0, sizeof(*checkpoint));
}

static bool checkpoint_hash_id(struct bytes name, struct bytes type, struct bytes key,
                               uint8_t out[CHECKPOINT_KEY_ID_BYTES], struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;
    struct digest id = {0};

    GH_TRY(digest_stream_new(DIGEST_SHA256, &stream, err));
    GH_TRY(digest_stream_update(stream, name, err));
    GH_TRY(digest_stream_update(stream, type, err));
    GH_TRY(digest_stream_update(stream, key, err));
    GH_TRY(digest_stream_final(stream, &id, err));
    memcpy(out, id.value, CHECKPOINT_KEY_ID_BYTES);
    return true;
}

/* The 32 bytes of an Ed25519 key are the last ones of its SubjectPublicKeyInfo. */
static struct bytes checkpoint_raw_ed25519(const struct key *key)
{
    struct bytes spki = key_spki(key);

    return bytes_slice(spki, spki.len >= 32 ? spki.len - 32 : 0, 32);
}

bool checkpoint_key_id(const struct checkpoint_key *key, uint8_t out[CHECKPOINT_KEY_ID_BYTES],
                       struct gh_error *err)
{
    switch (key_type(key->key)) {
    case KEY_TYPE_P256:
    case KEY_TYPE_P384:
    case KEY_TYPE_P521:
        memcpy(out, key_fingerprint(key->key)->value, CHECKPOINT_KEY_ID_BYTES);
        return true;
    case KEY_TYPE_RSA:
        return checkpoint_hash_id(key->name, BYTES_LITERAL("\n\xffPKIX-RSA-PKCS#1v1.5"),
                                  key_spki(key->key), out, err);
    case KEY_TYPE_ED25519:
        break;
    }
    return checkpoint_hash_id(key->name, BYTES_LITERAL("\n\x01"), checkpoint_raw_ed25519(key->key),
                              out, err);
}

static bool checkpoint_check_one(const struct checkpoint *checkpoint,
                                 const struct checkpoint_key *key, struct bytes signature,
                                 struct memo *memo, struct gh_error *err)
{
    uint8_t how[2] = {(uint8_t)key->scheme, (uint8_t)key->alg};
    struct bytes parts[] = {digest_bytes(key_fingerprint(key->key)), bytes_make(how, sizeof(how)),
                            checkpoint->text, signature};
    struct gh_error failure = {0};
    struct digest name = {0};

    GH_TRY(memo_name("checkpoint", parts, GH_COUNT(parts), &name, err));
    if (memo_has(memo, &name)) {
        return true;
    }
    if (!key_verify(key->key, key->scheme, key->alg, checkpoint->text, signature, &failure)) {
        return failure.cause == GH_INTERNAL_ERROR
                   ? gh_fail(err, failure.cause, "%s", failure.text)
                   : gh_fail(err, GH_CHECKPOINT_SIGNATURE_INVALID,
                             "the checkpoint's signature does not verify with the log's key");
    }
    memo_add(memo, &name);
    return true;
}

bool checkpoint_verify(const struct checkpoint *checkpoint, const struct checkpoint_key *key,
                       const uint8_t *key_id, struct memo *memo, struct gh_error *err)
{
    uint8_t wanted[CHECKPOINT_KEY_ID_BYTES] = {0};
    size_t good = 0;

    if (key_id != NULL) {
        memcpy(wanted, key_id, sizeof(wanted));
    } else {
        GH_TRY(checkpoint_key_id(key, wanted, err));
    }
    for (size_t i = 0; i < checkpoint->signature_count; i++) {
        const struct checkpoint_signature *line = &checkpoint->signatures[i];

        if (!bytes_equal(line->name, key->name) ||
            memcmp(line->key_id, wanted, sizeof(wanted)) != 0) {
            continue;
        }
        GH_TRY(checkpoint_check_one(checkpoint, key, line->value, memo, err));
        good++;
    }
    if (good == 0) {
        return gh_fail(err, GH_CHECKPOINT_SIGNATURE_INVALID,
                       "the checkpoint has no signature with the log's name and key id");
    }
    return true;
}

/* ---- witnesses --------------------------------------------------------------------------- */

static bool checkpoint_cosignature_holds(const struct checkpoint *checkpoint,
                                         const struct checkpoint_signature *line,
                                         const struct key *key)
{
    GH_OWN(bytes_buf_done) struct bytes_buf message = {0};
    char head[64];
    uint64_t time = 0;
    int len;

    if (line->value.len != CHECKPOINT_COSIGNATURE_BYTES) {
        return false;
    }
    for (unsigned i = 0; i < 8; i++) {
        time = time << 8 | line->value.data[i];
    }
    len = snprintf(head, sizeof(head), "cosignature/v1\ntime %" PRIu64 "\n", time);
    if (len < 0 || !bytes_buf_alloc((size_t)len + checkpoint->text.len, &message, NULL)) {
        return false;
    }
    memcpy(message.data, head, (size_t)len);
    memcpy(message.data + len, checkpoint->text.data, checkpoint->text.len);
    return key_verify(key, KEY_SCHEME_ED25519, DIGEST_NONE, bytes_view(&message),
                      bytes_slice(line->value, 8, 64), NULL);
}

static bool checkpoint_witness_signed(const struct checkpoint *checkpoint,
                                      const struct checkpoint_witness *witness)
{
    uint8_t wanted[CHECKPOINT_KEY_ID_BYTES] = {0};

    if (key_type(witness->key) != KEY_TYPE_ED25519 ||
        !checkpoint_hash_id(witness->name, BYTES_LITERAL("\n\x04"),
                            checkpoint_raw_ed25519(witness->key), wanted, NULL)) {
        return false;
    }
    for (size_t i = 0; i < checkpoint->signature_count; i++) {
        const struct checkpoint_signature *line = &checkpoint->signatures[i];

        if (bytes_equal(line->name, witness->name) &&
            memcmp(line->key_id, wanted, sizeof(wanted)) == 0 &&
            checkpoint_cosignature_holds(checkpoint, line, witness->key)) {
            return true;
        }
    }
    return false;
}

bool checkpoint_check_witnesses(const struct checkpoint *checkpoint,
                                const struct checkpoint_witness *witnesses, size_t witness_count,
                                size_t threshold, struct gh_error *err)
{
    size_t good = 0;

    if (witness_count > CHECKPOINT_MAX_WITNESSES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "%zu witnesses, limit %d", witness_count,
                       CHECKPOINT_MAX_WITNESSES);
    }
    for (size_t i = 0; i < witness_count; i++) {
        bool is_new = true;

        for (size_t j = 0; j < i; j++) { /* one key under two names is one witness */
            is_new = is_new && !key_equal(witnesses[i].key, witnesses[j].key);
        }
        good += is_new && checkpoint_witness_signed(checkpoint, &witnesses[i]) ? 1 : 0;
    }
    if (good < threshold) {
        return gh_fail(err, GH_WITNESS_THRESHOLD_NOT_MET,
                       "%zu distinct witnesses signed the checkpoint, %zu are required", good,
                       threshold);
    }
    return true;
}
