/*
 * The admin listener: metrics, health, decisions, verdicts, exceptions, reload. Off loopback the
 * configuration demands a token or client certificates.
 *
 * Threads: the exchange's worker; what blocks runs on helpers
 */
#ifndef PROXY_ADMIN_H
#define PROXY_ADMIN_H

#include "gatehouse.h"

struct admin;
struct exchange_handler;
struct gh_error;
struct serving;

/*
 * TOKEN: copied; NULL: none. HAS_CLIENT_CA: client certificates are verified, and one is enough;
 * without a token one is a must. SERVING is borrowed. Gives: *out: new, admin_free()
 */
GH_CHECKED bool admin_new(struct serving *serving, const char *token, bool has_client_ca,
                          struct admin **out, struct gh_error *err);
void admin_free(struct admin *admin);

/* The listener's role is the struct admin. */
const struct exchange_handler *admin_handler(void);

#endif
