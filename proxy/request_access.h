/*
 * Who asks: users and certificates of this gateway, its own tokens, and credentials that are passed
 * through to the upstream. Private to the request_*.c files.
 *
 * Threads: the exchange's worker
 */
#ifndef PROXY_REQUEST_ACCESS_H
#define PROXY_REQUEST_ACCESS_H

#include "gatehouse.h"
#include "proxy/htpasswd.h"

struct request;

/* 401 with the challenge that the tenant's clients are to answer. ERROR: the challenge's, or NULL
 */
void request_challenge(struct request *r, const char *error);
/* Check a user's password: true, and r->principal is set; false: answered, or a helper checks and
 * then goes on with request_dispatch() or request_token_issue(). */
bool request_password(struct request *r, const char *user, const char *password);
/* The common name of a verified client certificate, as r->principal. */
bool request_certificate(struct request *r);
/* The secret that tokens of the request's tenant are made with. */
const uint8_t *request_token_key(const struct request *r);

#endif
