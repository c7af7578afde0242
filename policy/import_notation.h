/*
 * A notation trust policy and the listing of its trust store, as the equivalent configuration. What
 * has no equivalent is an error that names the field; nothing is dropped.
 *
 * Spec: notaryproject/specifications, trust-store-trust-policy.md
 */
#ifndef POLICY_IMPORT_NOTATION_H
#define POLICY_IMPORT_NOTATION_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;
struct text;

#define IMPORT_NOTATION_MAX_BYTES (1024u * 1024)
#define IMPORT_NOTATION_MAX_STATEMENTS 256

/* One certificate file of a trust store folder: truststore/x509/KIND/NAME/… */
struct import_notation_file {
    const char *kind; /* "ca", "signingAuthority" or "tsa" */
    const char *name; /* of the store */
    const char *path; /* as the configuration is to name it */
};

/*
 * Write `roots`, `signers` and `policies` as YAML. The statement for `*` becomes a policy for all
 * images except those that other statements name; a statement of level skip a policy in mode audit
 * that observes the signer of the first other statement.
 *
 * Takes: document, files: borrowed
 * Gives: *out: appended to; unusable on failure
 * Fails: NOTATION_POLICY_INVALID, MALFORMED_JSON, DUPLICATE_JSON_KEY, SIZE_LIMIT_EXCEEDED,
 *        COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 * Threads: any
 */
GH_CHECKED bool import_notation(struct bytes document, const struct import_notation_file *files,
                                size_t file_count, struct text *out, struct gh_error *err);

#endif
