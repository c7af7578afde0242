/*
 * Which network addresses an outgoing connection may have. What a registry answers with (redirects,
 * token realms) and what a name server says is hostile: without a rule at the socket, either could
 * make us speak to the metadata service of a cloud or to the database beside us.
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_ADDRESS_H
#define PROXY_ADDRESS_H

#include "gatehouse.h"

struct sockaddr;

#define ADDRESS_MAX_TEXT 64
#define ADDRESS_MAX_HOST 256

/* Why an address is not public. */
enum address_kind {
    ADDRESS_UNKNOWN = 0, /* not IPv4 or IPv6: never allowed unless the host is named */
    ADDRESS_PUBLIC,
    ADDRESS_PRIVATE,
    ADDRESS_LOOPBACK,
    ADDRESS_LINK_LOCAL, /* holds the metadata services of the clouds */
    ADDRESS_SHARED,     /* carrier-grade NAT */
    ADDRESS_MULTICAST,
    ADDRESS_RESERVED
};

/*
 * Classify a socket address. An IPv6 address that carries an IPv4 one (mapped, compatible, NAT64,
 * 6to4, Teredo) is as public as what it carries.
 *
 * Spec:  RFC 6890 and the IANA special-purpose registries, RFC 6598, RFC 6052, RFC 8215
 * Takes: address: borrowed; LEN its length in bytes
 */
enum address_kind address_classify(const struct sockaddr *address, size_t len);
/* As address_classify(), of an address in text; ADDRESS_UNKNOWN where it is none. */
enum address_kind address_classify_text(const char *text);
const char *address_kind_label(enum address_kind kind);

/*
 * Whether the configuration's entry names the host: "host", which stands for every port, or
 * "host:port". Case does not matter; brackets of IPv6 are optional without a port.
 */
bool address_entry_names(const char *entry, const char *host, unsigned port);

#endif
