/*
 * Where copies of audit records go: syslog (RFC 5424) by UDP, TCP (octet counting, RFC 6587) or a
 * Unix datagram socket, or an HTTP collector that takes JSON lines by POST.
 *
 * Threads: one at a time; every call may block for AUDIT_CARRIER_TIMEOUT_S
 */
#ifndef PROXY_AUDIT_CARRIER_H
#define PROXY_AUDIT_CARRIER_H

#include "gatehouse.h"

struct audit_carrier;
struct gh_error;

#define AUDIT_CARRIER_TIMEOUT_S 10
#define AUDIT_CARRIER_SCHEMES "udp://, tcp://, unix:, http:// or https://"

struct audit_carrier_config {
    const char *url;
    const char *ca;    /* PEM file, for https; NULL: the system's */
    const char *token; /* for http and https: sent as bearer; NULL: none */
};

/* CONFIG is copied. Gives: *out: new, audit_carrier_free(). Fails: INTERNAL_ERROR */
GH_CHECKED bool audit_carrier_new(const struct audit_carrier_config *config,
                                  struct audit_carrier **out, struct gh_error *err);
void audit_carrier_free(struct audit_carrier *carrier);
GH_DEFINE_FREEP(audit_carrier, struct audit_carrier)

/*
 * Deliver whole lines, each with its line feed. All of them arrived, as far as the carrier can tell
 * (UDP never can), or some may have: they are sent again then.
 *
 * Fails: UPSTREAM_UNAVAILABLE
 */
GH_CHECKED bool audit_carrier_send(struct audit_carrier *carrier, const char *lines, size_t len,
                                   struct gh_error *err);

#endif
