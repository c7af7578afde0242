#include "proxy/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct address_range4 {
    uint32_t base;
    unsigned bits;
    enum address_kind kind;
};

static const struct address_range4 address_ranges4[] = {
    {0x00000000, 8, ADDRESS_RESERVED},    /* 0.0.0.0/8: "this network" reaches the host itself */
    {0x0a000000, 8, ADDRESS_PRIVATE},     /* 10.0.0.0/8 */
    {0x64400000, 10, ADDRESS_SHARED},     /* 100.64.0.0/10; Alibaba's metadata is in it */
    {0x7f000000, 8, ADDRESS_LOOPBACK},    /* 127.0.0.0/8 */
    {0xa9fe0000, 16, ADDRESS_LINK_LOCAL}, /* 169.254.0.0/16; metadata services */
    {0xac100000, 12, ADDRESS_PRIVATE},    /* 172.16.0.0/12 */
    {0xc0000000, 24, ADDRESS_RESERVED},   /* 192.0.0.0/24; Oracle's metadata is in it */
    {0xc0000200, 24, ADDRESS_RESERVED},   /* 192.0.2.0/24 documentation */
    {0xc0586300, 24, ADDRESS_RESERVED},   /* 192.88.99.0/24 6to4 relays */
    {0xc0a80000, 16, ADDRESS_PRIVATE},    /* 192.168.0.0/16 */
    {0xc6120000, 15, ADDRESS_RESERVED},   /* 198.18.0.0/15 benchmarks */
    {0xc6336400, 24, ADDRESS_RESERVED},   /* 198.51.100.0/24 documentation */
    {0xcb007100, 24, ADDRESS_RESERVED},   /* 203.0.113.0/24 documentation */
    {0xa83f8110, 32, ADDRESS_LINK_LOCAL}, /* 168.63.129.16, Azure's wire server */
    {0xe0000000, 4, ADDRESS_MULTICAST},   /* 224.0.0.0/4 */
    {0xf0000000, 4, ADDRESS_RESERVED},    /* 240.0.0.0/4 and broadcast */
};

struct address_range6 {
    uint8_t base[16];
    unsigned bits;
    enum address_kind kind;
};

static const struct address_range6 address_ranges6[] = {
    {{0xfc}, 7, ADDRESS_PRIVATE},                     /* fc00::/7; AWS's metadata is in it */
    {{0xfe, 0x80}, 10, ADDRESS_LINK_LOCAL},           /* fe80::/10 */
    {{0xfe, 0xc0}, 10, ADDRESS_PRIVATE},              /* fec0::/10, site-local of old */
    {{0xff}, 8, ADDRESS_MULTICAST},                   /* ff00::/8 */
    {{0x01, 0x00}, 64, ADDRESS_RESERVED},             /* 100::/64 discard */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_RESERVED}, /* documentation */
    {{0x3f, 0xff}, 20, ADDRESS_RESERVED},             /* documentation */
    {{0x20, 0x01, 0x00, 0x02}, 48, ADDRESS_RESERVED}, /* benchmarks */
    {{0x20, 0x01, 0x00, 0x10}, 28, ADDRESS_RESERVED}, /* ORCHID */
    {{0x5f, 0x00}, 16, ADDRESS_RESERVED},             /* segment routing */
};

static enum address_kind address_kind4(uint32_t host_order)
{
    for (size_t i = 0; i < GH_COUNT(address_ranges4); i++) {
        uint32_t mask = UINT32_MAX << (32 - address_ranges4[i].bits);

        if ((host_order & mask) == address_ranges4[i].base) {
            return address_ranges4[i].kind;
        }
    }
    return ADDRESS_PUBLIC;
}

static uint32_t address_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool address_has_prefix(const uint8_t *address, const uint8_t *base, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned rest = bits % 8;

    if (memcmp(address, base, whole) != 0) {
        return false;
    }
    return rest == 0 || ((address[whole] ^ base[whole]) >> (8 - rest)) == 0;
}

static enum address_kind address_kind6(const uint8_t a[16])
{
    static const uint8_t zero[16] = {0};
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t translated[12] = {[8] = 0xff, [9] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t nat64_local[6] = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01};
    static const uint8_t six_to_four[2] = {0x20, 0x02};
    static const uint8_t teredo[4] = {0x20, 0x01, 0x00, 0x00};

    if (memcmp(a, zero, 15) == 0 && a[15] <= 1) {
        return a[15] == 1 ? ADDRESS_LOOPBACK : ADDRESS_RESERVED;
    }
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, zero, 12) == 0 || memcmp(a, translated, 12) == 0 ||
        memcmp(a, nat64, 12) == 0) {
        return address_kind4(address_u32(a + 12));
    }
    if (memcmp(a, nat64_local, 6) == 0) {
        return ADDRESS_PRIVATE; /* where the IPv4 address stands in it is a local choice */
    }
    if (memcmp(a, six_to_four, 2) == 0) {
        return address_kind4(address_u32(a + 2));
    }
    if (memcmp(a, teredo, 4) == 0) {
        return address_kind4(~address_u32(a + 12));
    }
    for (size_t i = 0; i < GH_COUNT(address_ranges6); i++) {
        if (address_has_prefix(a, address_ranges6[i].base, address_ranges6[i].bits)) {
            return address_ranges6[i].kind;
        }
    }
    return ADDRESS_PUBLIC;
}

enum address_kind address_classify(const struct sockaddr *address, size_t len)
{
    /* Copied out: what curl hands over is only aligned as a generic address. */
    if (len >= sizeof(struct sockaddr_in) && address->sa_family == AF_INET) {
        struct sockaddr_in in4;

        memcpy(&in4, address, sizeof(in4));
        return address_kind4(ntohl(in4.sin_addr.s_addr));
    }
    if (len >= sizeof(struct sockaddr_in6) && address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, address, sizeof(in6));
        return address_kind6(in6.sin6_addr.s6_addr);
    }
    return ADDRESS_UNKNOWN;
}

enum address_kind address_classify_text(const char *text)
{
    struct in_addr in4;
    struct in6_addr in6;

    if (inet_pton(AF_INET, text, &in4) == 1) {
        return address_kind4(ntohl(in4.s_addr));
    }
    if (inet_pton(AF_INET6, text, &in6) == 1) {
        return address_kind6(in6.s6_addr);
    }
    return ADDRESS_UNKNOWN;
}

const char *address_kind_label(enum address_kind kind)
{
    switch (kind) {
    case ADDRESS_PUBLIC:
        return "public";
    case ADDRESS_PRIVATE:
        return "private";
    case ADDRESS_LOOPBACK:
        return "loopback";
    case ADDRESS_LINK_LOCAL:
        return "link-local";
    case ADDRESS_SHARED:
        return "shared (carrier-grade NAT)";
    case ADDRESS_MULTICAST:
        return "multicast";
    case ADDRESS_RESERVED:
        return "reserved";
    case ADDRESS_UNKNOWN:
        break;
    }
    return "unknown";
}

/* "[::1]" and "::1" are the same host. */
static bool address_host_equal(const char *a, size_t a_len, const char *b)
{
    size_t b_len = strlen(b);

    if (a_len >= 2 && a[0] == '[' && a[a_len - 1] == ']') {
        a++;
        a_len -= 2;
    }
    if (b_len >= 2 && b[0] == '[' && b[b_len - 1] == ']') {
        b++;
        b_len -= 2;
    }
    return a_len > 0 && a_len == b_len && strncasecmp(a, b, a_len) == 0;
}

bool address_entry_names(const char *entry, const char *host, unsigned port)
{
    size_t len = strlen(entry);
    const char *colon = strrchr(entry, ':');
    bool has_port = colon != NULL && colon[1] != '\0' && colon != entry &&
                    (colon[-1] == ']' || memchr(entry, ':', (size_t)(colon - entry)) == NULL);

    if (has_port) {
        char *end = NULL;
        unsigned long wanted = strtoul(colon + 1, &end, 10);

        if (*end != '\0' || wanted != port) {
            return false;
        }
        len = (size_t)(colon - entry);
    }
    return address_host_equal(entry, len, host);
}
