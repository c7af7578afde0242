/*
 * Asking the running gateway of a configuration, for command-line verbs.
 *
 * Threads: any; blocking
 */
#ifndef PROXY_ADMIN_CALL_H
#define PROXY_ADMIN_CALL_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct config;

#define ADMIN_CALL_TIMEOUT_MS 3000
#define ADMIN_CALL_MAX_BYTES (16u * 1024 * 1024)

/*
 * GET a path ("/v1/exceptions") of the admin listener that CONFIG names, with its token. Where the
 * listener has TLS, only the certificate that CONFIG names is told the token.
 *
 * Gives: *out: new, bytes_buf_done(); false where no gateway answers so (it does not run, or wants
 * a client's certificate)
 */
GH_CHECKED bool admin_call_get(const struct config *config, const char *path,
                               struct bytes_buf *out);

#endif
