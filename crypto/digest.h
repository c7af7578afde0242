/*
 * Digests of content: the value type, its text form, and hashing.
 *
 * Spec:    OCI image-spec, descriptor, "Digests": `sha256:` and 64, `sha512:` and 128 lower-case
 * hex Threads: any; no shared state
 */
#ifndef CRYPTO_DIGEST_H
#define CRYPTO_DIGEST_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

enum digest_alg { DIGEST_NONE = 0, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512 };

#define DIGEST_MAX_BYTES 64
#define DIGEST_MAX_TEXT 136 /* "sha512:" + 128 digits + NUL */

struct digest {
    enum digest_alg alg;
    uint8_t value[DIGEST_MAX_BYTES]; /* bytes past the algorithm's length are zero */
};

/* Length of the value in bytes; 0 for DIGEST_NONE. */
size_t digest_alg_len(enum digest_alg alg);
/* "sha256", "sha384", "sha512" or "". */
const char *digest_alg_name(enum digest_alg alg);

/* Read `alg:hex`. sha384 is no OCI algorithm and refused. Fails: DIGEST_ALG_UNSUPPORTED. */
GH_CHECKED bool digest_parse(struct bytes text, struct digest *out, struct gh_error *err);
/* Write `alg:hex` and a NUL. */
void digest_format(const struct digest *digest, char out[DIGEST_MAX_TEXT]);
/* The value's bytes, borrowed from *digest. */
struct bytes digest_bytes(const struct digest *digest);
bool digest_equal(const struct digest *a, const struct digest *b);
/* Hash DATA at once. Fails: INTERNAL_ERROR. */
GH_CHECKED bool digest_compute(enum digest_alg alg, struct bytes data, struct digest *out,
                               struct gh_error *err);
/* Fails: DIGEST_MISMATCH naming both, INTERNAL_ERROR. */
GH_CHECKED bool digest_check(const struct digest *wanted, struct bytes data, struct gh_error *err);

/* Hashing piece by piece. */
struct digest_stream;
GH_CHECKED bool digest_stream_new(enum digest_alg alg, struct digest_stream **out,
                                  struct gh_error *err);
GH_CHECKED bool digest_stream_update(struct digest_stream *stream, struct bytes data,
                                     struct gh_error *err);
/* After this the stream can only be freed or restarted. */
GH_CHECKED bool digest_stream_final(struct digest_stream *stream, struct digest *out,
                                    struct gh_error *err);
/* Begin anew with the same algorithm: cheaper than another stream, where many small texts are
 * hashed. */
GH_CHECKED bool digest_stream_restart(struct digest_stream *stream, struct gh_error *err);
void digest_stream_free(struct digest_stream *stream);
GH_DEFINE_FREEP(digest_stream, struct digest_stream)

#endif
