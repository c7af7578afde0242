#include "crypto/digest.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "metrics/error.h"

struct digest_stream {
    EVP_MD_CTX *md;
    enum digest_alg alg;
};

static const struct {
    const char *name;
    size_t len;
} digest_algs[] = {
    [DIGEST_NONE] = {"", 0},
    [DIGEST_SHA256] = {"sha256", 32},
    [DIGEST_SHA384] = {"sha384", 48},
    [DIGEST_SHA512] = {"sha512", 64},
};

size_t digest_alg_len(enum digest_alg alg)
{
    return (unsigned)alg < GH_COUNT(digest_algs) ? digest_algs[alg].len : 0;
}

const char *digest_alg_name(enum digest_alg alg)
{
    return (unsigned)alg < GH_COUNT(digest_algs) ? digest_algs[alg].name : "";
}

bool digest_parse(struct bytes text, struct digest *out, struct gh_error *err)
{
    struct digest digest = {0};
    struct bytes rest = text;
    struct bytes name;
    struct gh_error detail = {0};

    if (!bytes_split(&rest, ':', &name)) {
        return gh_fail(err, GH_DIGEST_ALG_UNSUPPORTED, "a digest is ALGORITHM:HEX");
    }
    if (bytes_equal_cstr(name, "sha256")) {
        digest.alg = DIGEST_SHA256;
    } else if (bytes_equal_cstr(name, "sha512")) {
        digest.alg = DIGEST_SHA512;
    } else {
        return gh_fail(err, GH_DIGEST_ALG_UNSUPPORTED,
                       "wanted a sha256 or sha512 digest, found algorithm '%.*s'",
                       (int)GH_MIN(name.len, (size_t)32), (const char *)name.data);
    }
    if (!bytes_hex_decode(rest, digest.value, digest_alg_len(digest.alg), &detail)) {
        return gh_fail(err, GH_DIGEST_ALG_UNSUPPORTED, "a %s digest: %s",
                       digest_alg_name(digest.alg), detail.text);
    }
    *out = digest;
    return true;
}

void digest_format(const struct digest *digest, char out[DIGEST_MAX_TEXT])
{
    size_t name_len = strlen(digest_alg_name(digest->alg));

    memcpy(out, digest_alg_name(digest->alg), name_len);
    out[name_len] = ':';
    bytes_hex_encode(digest_bytes(digest), out + name_len + 1);
}

struct bytes digest_bytes(const struct digest *digest)
{
    return bytes_make(digest->value, digest_alg_len(digest->alg));
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->alg == b->alg && a->alg != DIGEST_NONE &&
           memcmp(a->value, b->value, digest_alg_len(a->alg)) == 0;
}

static const EVP_MD *digest_evp(enum digest_alg alg)
{
    switch (alg) {
    case DIGEST_SHA256:
        return EVP_sha256();
    case DIGEST_SHA384:
        return EVP_sha384();
    case DIGEST_SHA512:
        return EVP_sha512();
    case DIGEST_NONE:
        return NULL;
    }
    return NULL;
}

bool digest_compute(enum digest_alg alg, struct bytes data, struct digest *out,
                    struct gh_error *err)
{
    struct digest digest = {.alg = alg};
    unsigned len = 0;

    if (digest_evp(alg) == NULL ||
        EVP_Digest(data.data != NULL ? data.data : (const uint8_t *)"", data.len, digest.value,
                   &len, digest_evp(alg), NULL) != 1 ||
        len != digest_alg_len(alg)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "hashing failed");
    }
    *out = digest;
    return true;
}

bool digest_check(const struct digest *wanted, struct bytes data, struct gh_error *err)
{
    char wanted_text[DIGEST_MAX_TEXT];
    char found_text[DIGEST_MAX_TEXT];
    struct digest found;

    GH_TRY(digest_compute(wanted->alg, data, &found, err));
    if (!digest_equal(wanted, &found)) {
        digest_format(wanted, wanted_text);
        digest_format(&found, found_text);
        return gh_fail(err, GH_DIGEST_MISMATCH, "wanted %s, found %s", wanted_text, found_text);
    }
    return true;
}

bool digest_stream_new(enum digest_alg alg, struct digest_stream **out, struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a hash");
    }
    stream->alg = alg;
    stream->md = EVP_MD_CTX_new();
    if (stream->md == NULL || digest_evp(alg) == NULL ||
        EVP_DigestInit_ex(stream->md, digest_evp(alg), NULL) != 1) {
        return gh_fail(err, GH_INTERNAL_ERROR, "a hash could not be started");
    }
    *out = GH_TAKE(stream);
    return true;
}

bool digest_stream_update(struct digest_stream *stream, struct bytes data, struct gh_error *err)
{
    if (data.len > 0 && EVP_DigestUpdate(stream->md, data.data, data.len) != 1) {
        return gh_fail(err, GH_INTERNAL_ERROR, "hashing failed");
    }
    return true;
}

bool digest_stream_final(struct digest_stream *stream, struct digest *out, struct gh_error *err)
{
    struct digest digest = {.alg = stream->alg};
    unsigned len = 0;

    if (EVP_DigestFinal_ex(stream->md, digest.value, &len) != 1 ||
        len != digest_alg_len(stream->alg)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "hashing failed");
    }
    *out = digest;
    return true;
}

bool digest_stream_restart(struct digest_stream *stream, struct gh_error *err)
{
    if (EVP_DigestInit_ex(stream->md, NULL, NULL) != 1) {
        return gh_fail(err, GH_INTERNAL_ERROR, "a hash could not be started");
    }
    return true;
}

void digest_stream_free(struct digest_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    EVP_MD_CTX_free(stream->md);
    free(stream);
}
