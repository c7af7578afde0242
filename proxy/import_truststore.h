/*
 * The trust store folder of notation, truststore/x509/{ca,signingAuthority,tsa}/NAME with .pem,
 * .crt, .cer, as settings for the import. Regular files alone: a link could be changed without the
 * folder.
 *
 * Threads: the one that imports
 */
#ifndef PROXY_IMPORT_TRUSTSTORE_H
#define PROXY_IMPORT_TRUSTSTORE_H

#include "gatehouse.h"

struct gh_error;

#define IMPORT_TRUSTSTORE_MAX_FILES 256

/* Takes NAME ("store:KIND:NAME") and PATH (absolute); both new, free(). False ends the walk. */
typedef bool (*import_truststore_fn)(void *ctx, char *name, char *path);

/*
 * Go through the folder FOLDER: notation's configuration folder, its `truststore`, or the `x509` in
 * that. Stores and files come sorted by name; folders in a store are passed over.
 *
 * Fails: NOTATION_POLICY_INVALID (no such folder, a link, a file that is no certificate by its
 *        name), COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool import_truststore_walk(const char *folder, import_truststore_fn fn, void *ctx,
                                       struct gh_error *err);

#endif
