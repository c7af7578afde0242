/*
 * Strict JSON over jansson: bounded size and depth, no duplicate keys, no NUL in strings, nothing
 * after the document. Getters are typed; a member of the wrong type is an error, never a default.
 * Views they give are borrowed from the document.
 *
 * Threads: a document belongs to one thread at a time (reading it from several is fine).
 */
#ifndef CRYPTO_SJSON_H
#define CRYPTO_SJSON_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

#define SJSON_MAX_DEPTH 64
#define SJSON_MAX_BYTES (32u * 1024 * 1024)

GH_UNUSED static inline void sjson_freep(json_t **doc)
{
    json_decref(*doc);
    *doc = NULL;
}

/*
 * From here on the process ends where memory for JSON is out. jansson 2.14 goes on when its token
 * buffer cannot grow and then reads past it (its issue 362): ending is the only safe refusal. Once,
 * at the start of a program that reads JSON of others.
 *
 * Threads: before there are any
 */
void sjson_end_without_memory(void);

/*
 * Parse one document of any type.
 *
 * Gives: *out: new, caller frees with json_decref()
 * Fails: MALFORMED_JSON, DUPLICATE_JSON_KEY, SIZE_LIMIT_EXCEEDED (LIMIT in bytes)
 */
GH_CHECKED bool sjson_parse(struct bytes in, size_t limit, json_t **out, struct gh_error *err);
/* As sjson_parse(), and the document must be an object (array). */
GH_CHECKED bool sjson_parse_object(struct bytes in, size_t limit, json_t **out,
                                   struct gh_error *err);

/* A required member of the type. Fails: MALFORMED_JSON naming KEY. Borrowed. */
GH_CHECKED bool sjson_get_object(const json_t *object, const char *key, json_t **out,
                                 struct gh_error *err);
GH_CHECKED bool sjson_get_array(const json_t *object, const char *key, json_t **out,
                                struct gh_error *err);
GH_CHECKED bool sjson_get_string(const json_t *object, const char *key, struct bytes *out,
                                 struct gh_error *err);
GH_CHECKED bool sjson_get_int(const json_t *object, const char *key, int64_t *out,
                              struct gh_error *err);
GH_CHECKED bool sjson_get_bool(const json_t *object, const char *key, bool *out,
                               struct gh_error *err);

/* An optional member: absent (or null) gives NULL, no bytes, FALLBACK. */
GH_CHECKED bool sjson_opt_object(const json_t *object, const char *key, json_t **out,
                                 struct gh_error *err);
GH_CHECKED bool sjson_opt_array(const json_t *object, const char *key, json_t **out,
                                struct gh_error *err);
/* out->data is NULL when the member is absent, and not NULL when it is the empty string. */
GH_CHECKED bool sjson_opt_string(const json_t *object, const char *key, struct bytes *out,
                                 struct gh_error *err);
GH_CHECKED bool sjson_opt_int(const json_t *object, const char *key, int64_t fallback, int64_t *out,
                              struct gh_error *err);
GH_CHECKED bool sjson_opt_bool(const json_t *object, const char *key, bool fallback, bool *out,
                               struct gh_error *err);

/* Proto-JSON: a 64-bit integer as number or decimal string; absent gives 0. */
GH_CHECKED bool sjson_opt_proto_int64(const json_t *object, const char *key, int64_t *out,
                                      struct gh_error *err);
/* Standard base64 of a required string. *out: new, bytes_buf_done() frees. */
GH_CHECKED bool sjson_get_base64(const json_t *object, const char *key, struct bytes_buf *out,
                                 struct gh_error *err);

/* A string value as bytes; the value must be a string. */
struct bytes sjson_string(const json_t *string);

/* Every member must be one of KEYS (NULL-terminated). Fails: MALFORMED_JSON naming the stranger. */
GH_CHECKED bool sjson_only_keys(const json_t *object, const char *const *keys,
                                struct gh_error *err);

/*
 * Follow an RFC 6901 pointer without wildcards. NULL where nothing is there. Borrowed.
 */
const json_t *sjson_pointer(const json_t *doc, const char *pointer);

#endif
