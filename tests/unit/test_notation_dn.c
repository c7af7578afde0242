#include "crypto/notation_dn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/notation.h"
#include "metrics/error.h"

/* C=US, ST=WA, O=a,b, CN=release as a Name */
static const struct bytes subject =
    BYTES_LITERAL("\x30\x3d"
                  "\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02US"
                  "\x31\x0b\x30\x09\x06\x03\x55\x04\x08\x0c\x02WA"
                  "\x31\x0c\x30\x0a\x06\x03\x55\x04\x0a\x0c\x03"
                  "a,b"
                  "\x31\x13\x30\x11\x06\x03\x55\x04\x03\x0c\x0arelease v1");

static bool parses(const char *text, struct gh_error *err)
{
    GH_OWN(notation_dn_freep) struct notation_dn *dn = NULL;

    gh_error_clear(err);
    return notation_dn_parse(bytes_of(text), &dn, err);
}

static void notation_dn_parse_valid_accepted(void **state)
{
    static const char *const rows[] = {
        "x509.subject:C=US,ST=WA,O=x",
        "x509.subject: C=US, ST=WA, O=Acme Inc., CN=release",
        "x509.subject:CN=a,C=US,S=WA,O=x",
        "x509.subject:C=US;ST=WA;O=x",
        "x509.subject:C=US,ST=WA,O=a\\,b",
        "x509.subject:C=US,ST=WA,O=\\23x\\20",
        "x509.subject:1.2.3=a,C=US,ST=WA,O=x",
        "arn:aws:signer:us-west-2:111122223333:/signing-profiles/Release",
        "arn:aws:signer:us-west-2:111122223333:/signing-profiles/Release/abc123",
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};

        if (!parses(rows[i], &err)) {
            fail_msg("%s: %s", rows[i], err.text);
        }
        assert_int_equal(err.cause, GH_CAUSE_NONE);
    }
}

static void notation_dn_parse_invalid_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "*",
        "x509.subject",
        "x509.subject:",
        "other:foo",
        "x509.subject:CN=x",
        "x509.subject:C=US,O=x", /* no state */
        "x509.subject:C=US,ST=WA",
        "x509.subject:ST=WA,O=x",
        "x509.subject:C=US,C=CA,ST=WA,O=x", /* twice */
        "x509.subject:C=US,ST=WA,S=OR,O=x",
        "x509.subject:,,,",
        "x509.subject:C=US,ST=WA,O=x,",
        "x509.subject:c=US,st=WA,o=x",
        "x509.subject:C=US+ST=WA,O=x",
        "x509.subject:C=,ST=WA,O=x",
        "x509.subject:C=US,ST=WA,O=#0c0178", /* CVE-2023-25656 */
        "x509.subject:C=US,ST=WA,O= #0c0178",
        "x509.subject:C=US,ST=WA,O=\"x\"",
        "x509.subject:C=US,ST=WA,O=a\\",
        "x509.subject:C=US,ST=WA,O=a\\zz",
        "x509.subject:C=US,ST=WA,O=\\ff", /* not UTF-8 */
        "x509.subject:BOGUS=1,C=US,ST=WA,O=x",
        "x509.subject:1.=1,C=US,ST=WA,O=x",
        "x509.subject:C=US,ST=WA,O=x,CN",
        "arn:aws:signer:us-west-2:1:/signing-profiles/",
        "arn:aws:signer:us-west-2:1:/signing-profiles/*",
        "arn:aws:signer:us-west-2:1:/signing-profiles/a/b/c",
        "arn:aws:s3:us-west-2:1:/signing-profiles/a",
        "arn:aws:signer:us-west-2:1:/other/a",
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};

        if (parses(rows[i], &err)) {
            fail_msg("accepted: %s", rows[i]);
        }
        assert_int_equal(err.cause, GH_NOTATION_POLICY_INVALID);
    }
}

static void notation_dn_parse_long_refused(void **state)
{
    char text[NOTATION_MAX_IDENTITY_BYTES + 2] = "x509.subject:C=US,ST=WA,O=";
    struct gh_error err = {0};

    (void)state;
    memset(text + strlen(text), 'x', sizeof(text) - 1 - strlen(text));
    assert_false(parses(text, &err));
    assert_int_equal(err.cause, GH_NOTATION_POLICY_INVALID);
    text[NOTATION_MAX_IDENTITY_BYTES] = '\0';
    assert_true(parses(text, &err));
}

static bool matches(const char *identity, struct bytes name)
{
    GH_OWN(notation_dn_freep) struct notation_dn *dn = NULL;
    GH_OWN(notation_dn_freep) struct notation_dn *of = NULL;

    assert_true(notation_dn_parse(bytes_of(identity), &dn, NULL));
    assert_true(notation_dn_read(name, &of, NULL));
    return notation_dn_matches(dn, of);
}

static void notation_dn_matches_subset_only(void **state)
{
    (void)state;
    assert_true(matches("x509.subject:C=US,ST=WA,O=a\\,b", subject));
    assert_true(matches("x509.subject:CN=release v1,O=a\\2cb,S=WA,C=US", subject));
    assert_true(matches("x509.subject:C=US,ST=WA,O=a\\,b,2.5.4.3=release\\ v1", subject));
    assert_false(matches("x509.subject:C=US,ST=WA,O=a\\,b,OU=x", subject));
    assert_false(matches("x509.subject:C=US,ST=WA,O=a", subject));
    assert_false(matches("x509.subject:C=US,ST=WA,O=A\\,B", subject));
    assert_false(matches("arn:aws:signer:us-west-2:1:/signing-profiles/R", subject));
}

/* A subject that repeats a type could be read either way, so it is nobody. */
static void notation_dn_matches_ambiguous_subject_refused(void **state)
{
    static const struct bytes twice =
        BYTES_LITERAL("\x30\x34"
                      "\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02US"
                      "\x31\x0b\x30\x09\x06\x03\x55\x04\x08\x0c\x02WA"
                      "\x31\x0a\x30\x08\x06\x03\x55\x04\x0a\x0c\x01x"
                      "\x31\x0c\x30\x0a\x06\x03\x55\x04\x0a\x0c\x03yyy");
    static const struct bytes several = BYTES_LITERAL(
        "\x30\x24"
        "\x31\x16\x30\x09\x06\x03\x55\x04\x06\x13\x02US\x30\x09\x06\x03\x55\x04\x08\x0c\x02WA"
        "\x31\x0a\x30\x08\x06\x03\x55\x04\x0a\x0c\x01x");

    (void)state;
    assert_false(matches("x509.subject:C=US,ST=WA,O=x", twice));
    assert_false(matches("x509.subject:C=US,ST=WA,O=x", several));
}

static void notation_dn_read_broken_refused(void **state)
{
    static const struct bytes rows[] = {
        BYTES_LITERAL(""),
        BYTES_LITERAL("\x31\x00"),
        BYTES_LITERAL("\x30\x02\x30\x00"),
        BYTES_LITERAL("\x30\x04\x31\x02\x30\x00"),
        BYTES_LITERAL("\x30\x00\x00"),
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct notation_dn *dn = NULL;
        struct gh_error err = {0};

        assert_false(notation_dn_read(rows[i], &dn, &err));
        assert_int_equal(err.cause, GH_CERT_MALFORMED);
    }
}

static void assert_overlap(const char *a, const char *b, enum gh_cause cause)
{
    struct notation_dn *dns[2] = {NULL, NULL};
    struct gh_error err = {0};

    assert_true(notation_dn_parse(bytes_of(a), &dns[0], NULL));
    assert_true(notation_dn_parse(bytes_of(b), &dns[1], NULL));
    assert_int_equal(notation_dn_check_overlap(dns, 2, &err), cause == GH_CAUSE_NONE);
    assert_int_equal(err.cause, cause);
    notation_dn_free(dns[0]);
    notation_dn_free(dns[1]);
}

static void notation_dn_check_overlap_found(void **state)
{
    (void)state;
    assert_overlap("x509.subject:C=US,ST=WA,O=x", "x509.subject:CN=y,C=US,ST=WA,O=x",
                   GH_NOTATION_POLICY_INVALID);
    assert_overlap("x509.subject:C=US,ST=WA,O=x", "x509.subject:C=US, ST=WA, O=x",
                   GH_NOTATION_POLICY_INVALID);
    assert_overlap("arn:aws:signer:r:1:/signing-profiles/A",
                   "arn:aws:signer:r:1:/signing-profiles/a/v1", GH_NOTATION_POLICY_INVALID);
    assert_overlap("x509.subject:C=US,ST=WA,O=x", "x509.subject:C=US,ST=WA,O=y", GH_CAUSE_NONE);
    assert_overlap("x509.subject:C=US,ST=WA,O=x,CN=a", "x509.subject:C=US,ST=WA,O=x,CN=b",
                   GH_CAUSE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_dn_parse_valid_accepted),
        cmocka_unit_test(notation_dn_parse_invalid_refused),
        cmocka_unit_test(notation_dn_parse_long_refused),
        cmocka_unit_test(notation_dn_matches_subset_only),
        cmocka_unit_test(notation_dn_matches_ambiguous_subject_refused),
        cmocka_unit_test(notation_dn_read_broken_refused),
        cmocka_unit_test(notation_dn_check_overlap_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
