/* Which addresses an outgoing connection may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "proxy/address.h"

static void classify_table_kind_right(void **state)
{
    static const struct {
        const char *text;
        enum address_kind kind;
    } rows[] = {
        {"1.1.1.1", ADDRESS_PUBLIC},
        {"9.255.255.255", ADDRESS_PUBLIC},
        {"10.0.0.0", ADDRESS_PRIVATE},
        {"10.255.255.255", ADDRESS_PRIVATE},
        {"11.0.0.0", ADDRESS_PUBLIC},
        {"0.0.0.0", ADDRESS_RESERVED},
        {"0.1.2.3", ADDRESS_RESERVED},
        {"100.63.255.255", ADDRESS_PUBLIC},
        {"100.64.0.0", ADDRESS_SHARED},
        {"100.100.100.200", ADDRESS_SHARED},
        {"100.127.255.255", ADDRESS_SHARED},
        {"100.128.0.0", ADDRESS_PUBLIC},
        {"127.0.0.1", ADDRESS_LOOPBACK},
        {"127.255.255.254", ADDRESS_LOOPBACK},
        {"169.254.169.254", ADDRESS_LINK_LOCAL},
        {"168.63.129.16", ADDRESS_LINK_LOCAL},
        {"168.63.129.17", ADDRESS_PUBLIC},
        {"172.15.255.255", ADDRESS_PUBLIC},
        {"172.16.0.0", ADDRESS_PRIVATE},
        {"172.31.255.255", ADDRESS_PRIVATE},
        {"172.32.0.0", ADDRESS_PUBLIC},
        {"192.0.0.192", ADDRESS_RESERVED},
        {"192.168.255.255", ADDRESS_PRIVATE},
        {"192.169.0.0", ADDRESS_PUBLIC},
        {"198.18.0.1", ADDRESS_RESERVED},
        {"198.20.0.0", ADDRESS_PUBLIC},
        {"224.0.0.1", ADDRESS_MULTICAST},
        {"239.255.255.255", ADDRESS_MULTICAST},
        {"240.0.0.1", ADDRESS_RESERVED},
        {"255.255.255.255", ADDRESS_RESERVED},
        {"::", ADDRESS_RESERVED},
        {"::1", ADDRESS_LOOPBACK},
        {"::7f00:1", ADDRESS_LOOPBACK}, /* IPv4-compatible */
        {"::ffff:127.0.0.1", ADDRESS_LOOPBACK},
        {"::ffff:1.1.1.1", ADDRESS_PUBLIC},
        {"::ffff:0:10.0.0.1", ADDRESS_PRIVATE},
        {"64:ff9b::169.254.169.254", ADDRESS_LINK_LOCAL},
        {"64:ff9b::1.1.1.1", ADDRESS_PUBLIC},
        {"64:ff9b:1::1.1.1.1", ADDRESS_PRIVATE},
        {"2002:7f00:1::", ADDRESS_LOOPBACK},
        {"2002:101:101::", ADDRESS_PUBLIC},
        {"2001:0:0:0:0:0:80ff:fffe", ADDRESS_LOOPBACK}, /* Teredo holds it inverted */
        {"2001:db8::1", ADDRESS_RESERVED},
        {"2606:4700:4700::1111", ADDRESS_PUBLIC},
        {"fd00:ec2::254", ADDRESS_PRIVATE},
        {"fc00::1", ADDRESS_PRIVATE},
        {"fe80::1", ADDRESS_LINK_LOCAL},
        {"febf::1", ADDRESS_LINK_LOCAL},
        {"fec0::1", ADDRESS_PRIVATE},
        {"ff02::1", ADDRESS_MULTICAST},
        {"example.org", ADDRESS_UNKNOWN},
        {"", ADDRESS_UNKNOWN},
        {"127.1", ADDRESS_UNKNOWN},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (address_classify_text(rows[i].text) != rows[i].kind) {
            fail_msg("%s is %s", rows[i].text,
                     address_kind_label(address_classify_text(rows[i].text)));
        }
    }
}

static void classify_other_family_unknown(void **state)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in cut = {.sin_family = AF_INET};

    assert_int_equal(address_classify((struct sockaddr *)&local, sizeof(local)), ADDRESS_UNKNOWN);
    assert_int_equal(address_classify((struct sockaddr *)&cut, 4), ADDRESS_UNKNOWN);
}

static void entry_names_table(void **state)
{
    static const struct {
        const char *entry;
        const char *host;
        unsigned port;
        bool is_named;
    } rows[] = {
        {"auth.example", "auth.example", 443, true},
        {"auth.example", "AUTH.example", 8443, true},
        {"auth.example", "evil.auth.example", 443, false},
        {"auth.example", "auth.example.evil", 443, false},
        {"auth.example:8443", "auth.example", 8443, true},
        {"auth.example:8443", "auth.example", 443, false},
        {"auth.example:84x", "auth.example", 84, false},
        {"::1", "::1", 80, true},
        {"[::1]", "::1", 80, true},
        {"[::1]:5000", "::1", 5000, true},
        {"[::1]:5000", "::1", 5001, false},
        {"", "", 80, false},
        {":80", "", 80, false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (address_entry_names(rows[i].entry, rows[i].host, rows[i].port) != rows[i].is_named) {
            fail_msg("%s and %s:%u", rows[i].entry, rows[i].host, rows[i].port);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classify_table_kind_right),
        cmocka_unit_test(classify_other_family_unknown),
        cmocka_unit_test(entry_names_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
