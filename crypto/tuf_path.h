/*
 * Names in TUF: target paths, role names, the patterns and hash bins by which roles are chosen.
 *
 * Spec:    TUF 1.0 section 4.5 (paths, path_hash_prefixes, succinct_roles of TAP 15)
 * Threads: any; no shared state
 */
#ifndef CRYPTO_TUF_PATH_H
#define CRYPTO_TUF_PATH_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define TUF_PATH_MAX_BYTES 1024
#define TUF_ROLE_MAX_BYTES 255
#define TUF_FILE_MAX_BYTES 250 /* of a name made by tuf_path_escape(): a file system takes 255 */
#define TUF_BIN_MAX_BITS 32

/*
 * Refuse names that could leave a folder or a URL: empty, absolute, with empty, `.` or `..`
 * segments, backslashes or control bytes.
 *
 * Fails: TUF_TARGET_MISMATCH
 */
GH_CHECKED bool tuf_path_check(struct bytes path, struct gh_error *err);

/* Whether PATH matches PATTERN: `*`, `?` and `[...]` within a segment, as many segments on both
 * sides, case counts. Time is bounded by the product of the lengths. */
bool tuf_path_match(struct bytes pattern, struct bytes path);

/* SHA-256 of the path as 64 lower-case digits and a NUL. Fails: INTERNAL_ERROR. */
#define TUF_PATH_HASH_DIGITS 64
GH_CHECKED bool tuf_path_hash(struct bytes path, char out[TUF_PATH_HASH_DIGITS + 1],
                              struct gh_error *err);

/*
 * The role that a path falls to among 2^BITS hash bins: "<prefix>-<bin in hex>".
 *
 * Spec:  TAP 15
 * Gives: *out: new, free() frees
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool tuf_path_bin(struct bytes path, const char *prefix, unsigned bits, char **out,
                             struct gh_error *err);

/*
 * A name as one URL segment and one file name: all but unreserved characters (RFC 3986) are
 * percent-encoded; slashes stay where KEEP_SLASHES.
 *
 * Gives: *out: new, free() frees
 * Fails: TUF_LIMIT_EXCEEDED (longer than LIMIT), INTERNAL_ERROR
 */
GH_CHECKED bool tuf_path_escape(struct bytes name, bool keep_slashes, size_t limit, char **out,
                                struct gh_error *err);

#endif
